"""Write marks in the formats that Canvas and Moodle import."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.grading.results import SubmissionResult

_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_CANVAS_KEYS = ("SIS Login ID", "SIS User ID", "ID", "Student")
_MOODLE = ("Username", "Grade", "Feedback comments")
_MOODLE_KEYS = ("Username", "Email address", "ID number", "Identifier", "Full name")
# The name that Moodle gives to the folder of a downloaded submission.
_MOODLE_FOLDER = re.compile(r"(?P<name>.+)_(?P<participant>\d+)_assignsubmission_.*")


@dataclass(frozen=True)
class Mark:
    """One learner's mark.

    Attributes:
        learner: The name of the submission: a login, an e-mail address, or a folder that Moodle made.
        score: The points of the submission.
        max_score: The points of all exercises together.
        feedback: A line of feedback.
    """

    learner: str
    score: float
    max_score: float
    feedback: str = ""

    @property
    def keys(self) -> set[str]:
        """The names under which a class list may have this learner, in lower case."""
        keys = {self.learner}
        if match := _MOODLE_FOLDER.fullmatch(self.learner):
            keys |= {match["name"], match["participant"], f"Participant {match['participant']}"}
        return {key.strip().lower() for key in keys}


def mark_of(result: SubmissionResult) -> Mark:
    """Return the mark of a judge's result; the feedback lists the exercises that did not pass."""
    missed = [
        f"{name} {exercise.score:g}/{exercise.max_score:g}"
        for name, exercise in result.exercises.items()
        if exercise.status != "passed"
    ]
    return Mark(result.name, result.score, result.max_score, "; ".join(missed))


def canvas_csv(marks: Sequence[Mark], title: str, roster: Path | None = None) -> tuple[str, list[str]]:
    """Return a table that Canvas imports as grades of an assignment.

    Args:
        marks: The marks.
        title: The assignment's title, which is the name of its column. Canvas creates the column if it is missing.
        roster: Grades exported from Canvas, whose learners and column are used. Learners without a submission stay
            blank. Without a roster, the names of submissions are used as login ids.

    Returns:
        The table, and the learners that are not in the roster.

    Raises:
        CourseError: The file is no roster.
    """
    if roster is None:
        rows = [{"Student": mark.learner, "SIS Login ID": mark.learner, title: f"{mark.score:g}"} for mark in marks]
        columns, unknown = [*_CANVAS, title], []
    else:
        columns, rows = _read_table(roster, _CANVAS_KEYS)
        rows = [row for row in rows if row.get("Student", "").strip() != "Points Possible"]
        column = next((name for name in columns if re.fullmatch(re.escape(title) + r"( \(\d+\))?", name)), title)
        unknown = _fill(rows, marks, _CANVAS_KEYS, lambda row, mark: row.update({column: f"{mark.score:g}"}))
        columns = [*(name for name in columns if name in _CANVAS), column]
        title = column
    max_score = max((mark.max_score for mark in marks), default=0)
    return _table(columns, [{"Student": "    Points Possible", title: f"{max_score:g}"}, *rows]), unknown


def moodle_csv(marks: Sequence[Mark], roster: Path | None = None) -> tuple[str, list[str]]:
    """Return a table that Moodle imports as grades.

    Args:
        marks: The marks.
        roster: The assignment's grading worksheet or a list of participants, which is filled in. Without a roster, the
            names of submissions are used as usernames.

    Returns:
        The table, and the learners that are not in the roster.

    Raises:
        CourseError: The file is no roster.
    """
    if roster is None:
        rows = [dict(zip(_MOODLE, (mark.learner, f"{mark.score:g}", mark.feedback), strict=True)) for mark in marks]
        return _table(_MOODLE, rows), []
    columns, rows = _read_table(roster, _MOODLE_KEYS)
    columns = [*columns, *(name for name in _MOODLE[1:] if name not in columns)]
    unknown = _fill(
        rows,
        marks,
        _MOODLE_KEYS,
        lambda row, mark: row.update({"Grade": f"{mark.score:g}", "Feedback comments": mark.feedback}),
    )
    return _table(columns, rows), unknown


def _read_table(path: Path, keys: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path} cannot be read as a table: {error}") from error
    if not set(columns) & set(keys):
        raise CourseError(f"{path} has none of the columns {', '.join(keys)}: export it from the platform as CSV")
    return columns, rows


def _fill(
    rows: Iterable[dict[str, str]],
    marks: Sequence[Mark],
    keys: Sequence[str],
    write_mark: Callable[[dict[str, str], Mark], None],
) -> list[str]:
    """Write each learner's mark to the learner's row, and return the learners without a row."""
    by_key = {key: mark for mark in marks for key in mark.keys}
    used = set()
    for row in rows:
        mark = next(
            (by_key[row[key].strip().lower()] for key in keys if row.get(key, "").strip().lower() in by_key), None
        )
        if mark is not None:
            write_mark(row, mark)
            used.add(mark.learner)
    return [mark.learner for mark in marks if mark.learner not in used]


def _table(columns: Sequence[str], rows: Iterable[dict[str, str]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _escape_formula(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _escape_formula(text: str) -> str:
    """Return a text with a leading quote if a spreadsheet would take it for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
