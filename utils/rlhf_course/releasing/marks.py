"""Write marks in the formats that Canvas and Moodle import."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_course.class_list.matching import Matching, match_rows, names_a_file
from rlhf_course.class_list.roster import Roster, read_roster, table_text
from rlhf_course.errors import CourseError
from rlhf_course.files import escape_formula
from rlhf_course.grading.results import ExerciseResult, SubmissionResult
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
# Moodle's column that says whether a grade is locked, and how it says no.
_CHANGEABLE = ("grade can be changed", "bewertung kann geändert werden", "la note peut être modifiée")
_NO = ("no", "nein", "non")
_EXCUSED = "EX"
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
        left: Messages on the marks that were not written although they belong to a row.
        replaced: Messages on the cells that held something else before.
        doubtful: The names that were written as logins, and may be none.
    """

    text: str
    matching: Matching | None = None
    note: str = ""
    left: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)


def mark_of(result: SubmissionResult, comments: Sequence[str] = ()) -> Mark:
    """Return the mark of a judge's result; the feedback says what is wrong in each exercise that did not pass.

    There is no mark if something could not be read. The penalty for late work is subtracted, and the feedback says so.

    Args:
        result: The result.
        comments: The instructor's comments to the learner, which the feedback begins with.
    """
    missed = [
        f"{name} {exercise.score:g}/{exercise.max_score:g}: {_reason(exercise)}"
        for name, exercise in result.exercises.items()
        if exercise.status != "passed"
    ]
    is_read = all(exercise.status != "unreadable" for exercise in result.exercises.values())
    lines = [*comments, *([result.late] if result.late else []), *missed]
    return Mark(result.name, result.mark if is_read else None, result.max_score, "; ".join(lines))


def _reason(exercise: ExerciseResult) -> str:
    """Return what a learner's page says first about an exercise that did not pass."""
    messages = (test.message for test in exercise.tests if test.status != "passed" and test.message)
    return exercise.mistake or next(messages, exercise.state)


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
        return MarkTable(text, None, scale_note(scale, [full_marks], [""]), _waiting(marks), doubtful=_no_logins(marks))
    table = read_roster(roster)
    matching = match_rows([mark.learner for mark in marks], table, key)
    column = _canvas_column(table, title)
    possible = _points_possible(table, matching)
    maximum = table.cell(possible, column)
    try:
        scale.stated(maximum)
    except CourseError as error:
        raise CourseError(f"the maximum of {table.columns[column]!r} in {table.path}: {error}; add --scale") from error
    filled = _Filling(table, matching, marks)
    for row, mark in filled.rows():
        if table.cell(row, column).strip().upper() == _EXCUSED:
            filled.left.append(f"{mark.learner}: is excused")
        else:
            filled.write(row, column, scale.mark(mark, maximum), mark)
    if not maximum.strip():
        table.write_cell(possible, column, scale.mark(full_marks))
    rows = [possible, *(row for row in table.rows if row is not possible)]
    kept = [*_canvas_identity(table), column]
    cells = [[table.cell(row, index) for index in kept] for row in rows]
    text = table_text([table.columns[index] for index in kept], cells, table.delimiter)
    return MarkTable(text, matching, scale_note(scale, [full_marks], [maximum]), filled.left, filled.replaced)


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
        note = scale_note(scale, marks, [""] * len(marks))
        return MarkTable(table_text(_MOODLE, rows), None, note, _waiting(marks), doubtful=_no_logins(marks))
    table = read_roster(roster)
    matching = match_rows([mark.learner for mark in marks], table, key)
    grade = _moodle_column(table, grade_column, _GRADE, _MOODLE[1])
    feedback = _moodle_column(table, feedback_column, _FEEDBACK, _MOODLE[2])

    maximum, changeable = table.find(_MAXIMUM), table.find(_CHANGEABLE)
    filled = _Filling(table, matching, marks)
    scaled: list[tuple[Mark, str]] = []
    for row, mark in filled.rows():
        highest = "" if maximum is None else table.cell(row, maximum)
        if changeable is not None and table.cell(row, changeable).strip().lower() in _NO:
            filled.left.append(f"{mark.learner}: Moodle says that the grade cannot be changed")
            continue
        try:
            text = scale.mark(mark, highest)
        except CourseError as error:
            filled.left.append(f"{mark.learner}: the maximum {error}; --scale says what it is")
            continue
        scaled.append((mark, highest))
        filled.write(row, grade, text, mark)
        if mark.feedback or not table.cell(row, feedback):  # no empty feedback replaces what a person wrote
            filled.write(row, feedback, escape_formula(mark.feedback), mark)
    note = scale_note(scale, [mark for mark, _ in scaled], [highest for _, highest in scaled])
    text = table_text(table.columns, table.rows, table.delimiter)
    return MarkTable(text, matching, note, filled.left, filled.replaced)


def _points(mark: Mark) -> float:
    return mark.max_score


def _waiting(marks: Sequence[Mark]) -> list[str]:
    """Return a message for each submission that has no mark yet."""
    reason = "something could not be read, or a person has to grade it"
    return [f"{mark.learner}: no mark yet, since {reason}" for mark in marks if mark.score is None]


def _no_logins(marks: Sequence[Mark]) -> list[str]:
    """Return the names of submissions that are no logins, or that a spreadsheet would take for a formula."""
    return [
        mark.learner for mark in marks if names_a_file(mark.learner) or escape_formula(mark.learner) != mark.learner
    ]


class _Filling:
    """Write marks into a class list, and keep what was left and what was replaced.

    Attributes:
        left: Messages on the marks that are not written.
        replaced: Messages on the cells that held something else.
    """

    def __init__(self, table: Roster, matching: Matching, marks: Sequence[Mark]) -> None:
        self._table, self._marks, self._matching = table, marks, matching
        self.left = _waiting([marks[index] for index in matching.submissions.values()])
        self.replaced: list[str] = []

    def rows(self) -> Iterator[tuple[list[str], Mark]]:
        """Yield each row that has a mark, and the mark."""
        for row, index in self._matching.submissions.items():
            if self._marks[index].score is not None:
                yield self._table.rows[row], self._marks[index]

    def write(self, row: list[str], column: int, text: str, mark: Mark) -> None:
        """Write a cell."""
        before = self._table.cell(row, column).strip()
        if before not in ("", "-", text):
            self.replaced.append(f"{mark.learner}: {self._table.columns[column]} was {before[:40]!r}, is {text[:40]!r}")
        self._table.write_cell(row, column, text)


def _canvas_column(table: Roster, title: str) -> int:
    """Return the index of the assignment's column, which Canvas calls by the title and a number; it may be new."""
    if title in table.columns:
        return table.index(title)
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
