"""Write marks in the formats that Canvas and Moodle import."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.files import escape_formula
from rlhf_course.grading.results import ExerciseResult, SubmissionResult
from rlhf_course.releasing.matching import Matching, match_rows
from rlhf_course.releasing.roster import Roster, read_roster, table_text
from rlhf_course.releasing.scale import Mark, Scale, scale_note

PLATFORM = Scale()
_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_CANVAS_ASSIGNMENT = re.compile(r".* \(\d+\)")
_POINTS_POSSIBLE = "    Points Possible"
_MOODLE = ("Username", "Grade", "Feedback comments")
_ENGLISH = ("identifier", "full name", "first name", "username", "email address", "id number")
_GRADE = ("grade", "bewertung", "note", "calificación", "valutazione", "nota")
_MAXIMUM = (
    "maximum grade",
    "bestwertung",
    "note maximale",
    "calificación máxima",
    "valutazione massima",
    "nota máxima",
)
_FEEDBACK = (
    "feedback comments",
    "feedback als kommentar",
    "feedback par commentaires",
    "comentarios de retroalimentación",
    "commenti di feedback",
)


@dataclass(frozen=True)
class MarkTable:
    """A table of marks.

    Attributes:
        text: The table, as CSV.
        matching: How marks and the rows of the class list belong together; None without a class list.
        note: A sentence on the scale of the marks; empty if they are points.
    """

    text: str
    matching: Matching | None = None
    note: str = ""


def mark_of(result: SubmissionResult) -> Mark:
    """Return the mark of a judge's result; the feedback says what is wrong in each exercise that did not pass."""
    missed = [
        f"{name} {exercise.score:g}/{exercise.max_score:g}: {_reason(exercise)}"
        for name, exercise in result.exercises.items()
        if exercise.status != "passed"
    ]
    return Mark(result.name, result.score, result.max_score, "; ".join(missed))


def _reason(exercise: ExerciseResult) -> str:
    """Return what a learner's page says first about an exercise that did not pass."""
    messages = (test.message for test in exercise.tests if test.status != "passed" and test.message)
    return exercise.mistake or next(messages, exercise.status)


def canvas_csv(
    marks: Sequence[Mark], title: str, roster: Path | None = None, key: str | None = None, scale: Scale = PLATFORM
) -> MarkTable:
    """Return a table that Canvas imports as grades of an assignment.

    Args:
        marks: The marks.
        title: The assignment's title, which is the name of its column. Canvas creates the column if it is missing.
        roster: Grades exported from Canvas, whose learners and column are used. Learners without a submission keep
            what they have. Without a roster, the names of submissions are used as login ids.
        key: The column of the roster by which marks are matched; see `match_rows`.
        scale: The scale of the marks. The roster's Points Possible are the platform's maximum.

    Raises:
        CourseError: The file is no roster, or several of its columns have the title.
    """
    full_marks = max((Mark("", mark.max_score, mark.max_score) for mark in marks), key=_points, default=Mark("", 0, 0))
    if roster is None:
        names = [escape_formula(mark.learner) for mark in marks]
        rows = [[name, "", "", name, "", scale.mark(mark)] for name, mark in zip(names, marks, strict=True)]
        possible = [_POINTS_POSSIBLE, "", "", "", "", scale.mark(full_marks)]
        text = table_text([*_CANVAS, escape_formula(title)], [possible, *rows])
        return MarkTable(text, note=scale_note(scale, [full_marks], [""]))
    table = read_roster(roster)
    matching = match_rows([mark.learner for mark in marks], table, key)
    column = _canvas_column(table, title)
    possible = _points_possible(table, matching)
    maximum = table.cell(possible, column)
    _fill(table, matching, marks, lambda row, mark: table.write_cell(row, column, scale.mark(mark, maximum)))
    if not maximum.strip():
        table.write_cell(possible, column, scale.mark(full_marks))
    rows = [possible, *(row for row in table.rows if row is not possible)]
    kept = [*_canvas_identity(table), column]
    cells = [[table.cell(row, index) for index in kept] for row in rows]
    text = table_text([table.columns[index] for index in kept], cells, table.delimiter)
    return MarkTable(text, matching, scale_note(scale, [full_marks], [maximum]))


def moodle_csv(
    marks: Sequence[Mark],
    roster: Path | None = None,
    key: str | None = None,
    grade_column: str | None = None,
    feedback_column: str | None = None,
    scale: Scale = PLATFORM,
) -> MarkTable:
    """Return a table that Moodle imports as grades.

    Args:
        marks: The marks.
        roster: The assignment's grading worksheet or a list of participants, which is filled in. Without a roster, the
            names of submissions are used as usernames.
        key: The column of the roster by which marks are matched; see `match_rows`.
        grade_column: The column of the roster for the points; None for the one that Moodle calls so.
        feedback_column: The column of the roster for the feedback; None for the one that Moodle calls so.
        scale: The scale of the marks. The roster's column Maximum grade has the platform's maximum.

    Raises:
        CourseError: The file is no roster, or it does not have a named column.
    """
    if roster is None:
        rows = [[escape_formula(mark.learner), scale.mark(mark), escape_formula(mark.feedback)] for mark in marks]
        return MarkTable(table_text(_MOODLE, rows), note=scale_note(scale, marks, [""] * len(marks)))
    table = read_roster(roster)
    matching = match_rows([mark.learner for mark in marks], table, key)
    grade = _moodle_column(table, grade_column, _GRADE, _MOODLE[1])
    feedback = _moodle_column(table, feedback_column, _FEEDBACK, _MOODLE[2])

    maximum = table.find(_MAXIMUM)

    def maximum_of(row: list[str]) -> str:
        return "" if maximum is None else table.cell(row, maximum)

    def write_mark(row: list[str], mark: Mark) -> None:
        table.write_cell(row, grade, scale.mark(mark, maximum_of(row)))
        table.write_cell(row, feedback, escape_formula(mark.feedback))

    _fill(table, matching, marks, write_mark)
    matched = [(marks[mark], maximum_of(table.rows[row])) for row, mark in matching.submissions.items()]
    note = scale_note(scale, *map(list, zip(*matched, strict=True))) if matched else ""
    return MarkTable(table_text(table.columns, table.rows, table.delimiter), matching, note)


def _points(mark: Mark) -> float:
    return mark.max_score


def _fill(
    table: Roster, matching: Matching, marks: Sequence[Mark], write_mark: Callable[[list[str], Mark], None]
) -> None:
    for row, mark in matching.submissions.items():
        if marks[mark].score is not None:
            write_mark(table.rows[row], marks[mark])


def _canvas_column(table: Roster, title: str) -> int:
    """Return the index of the assignment's column, which Canvas calls by the title and a number; it may be new."""
    if title in table.columns:
        return table.columns.index(title)
    found = [name for name in table.columns if re.fullmatch(re.escape(title) + r" \(\d+\)", name)]
    if len(found) > 1:
        raise CourseError(f"{table.path} has several columns for {title!r}: name one with --title, {', '.join(found)}")
    return table.columns.index(found[0]) if found else table.add_column(title)


def _points_possible(table: Roster, matching: Matching) -> list[str]:
    """Return the row for the maximum score; a learner may have its name, but then the row has an entry in the key."""
    key = table.index(matching.key)
    rows = (row for row in table.rows if row[0].strip() == _POINTS_POSSIBLE.strip() and not table.cell(row, key))
    return next(rows, [_POINTS_POSSIBLE])


def _canvas_identity(table: Roster) -> list[int]:
    """Return the indices of the columns that tell Canvas who a row is of: those before the first assignment's."""
    assignments = [index for index, name in enumerate(table.columns) if _CANVAS_ASSIGNMENT.fullmatch(name)]
    if assignments:
        return list(range(assignments[0]))
    return [index for index, name in enumerate(table.columns) if name in _CANVAS] or list(range(len(table.columns) - 1))


def _moodle_column(table: Roster, name: str | None, known: Sequence[str], default: str) -> int:
    """Return the index of a column for marks; an English roster without one gets it."""
    if name is not None:
        return table.index(name)
    found = table.find(known)
    if found is not None:
        return found
    if table.find(_ENGLISH) is not None:
        return table.add_column(default)
    option = "--grade-column" if default == _MOODLE[1] else "--feedback-column"
    raise CourseError(f"name the column for marks with {option}; {table.path} has {table.listed_columns()}")
