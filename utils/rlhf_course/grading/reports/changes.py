"""List whose marks differ between two gradings."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from rlhf_course.grading.results import ExerciseResult, SubmissionResult

_NONE = "-"


@dataclass(frozen=True)
class Change:
    """A mark that differs between two gradings.

    Attributes:
        learner: The name of the submission.
        exercise: The name of the exercise; empty if only one grading holds the submission.
        old: The earlier points and state; "-" for none.
        new: The new points and state; "-" for none.
    """

    learner: str
    exercise: str
    old: str
    new: str


def changed_marks(old: Sequence[SubmissionResult], new: Sequence[SubmissionResult]) -> list[Change]:
    """Return each mark that differs, by submission and exercise."""
    before, after = {result.name: result for result in old}, {result.name: result for result in new}
    changes = []
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            totals = [f"{result.score:g} / {result.max_score:g}" if result else _NONE
                      for result in (before.get(name), after.get(name))]  # fmt: skip
            changes.append(Change(name, "", *totals))
            continue
        earlier, later = before[name].exercises, after[name].exercises
        for exercise in dict.fromkeys([*earlier, *later]):
            graded = earlier.get(exercise), later.get(exercise)
            if _points(graded[0]) != _points(graded[1]):
                changes.append(Change(name, exercise, *map(_mark, graded)))
    return changes


def changes_table(changes: Sequence[Change]) -> Table:
    """Return the changes as a table for the terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("submission", "exercise", "was", "is now"):
        table.add_column(column, overflow="fold")
    for change in changes:
        table.add_row(*map(Text, (change.learner, change.exercise or "all", change.old, change.new)))
    return table


def _points(exercise: ExerciseResult | None) -> tuple[float, float] | None:
    return None if exercise is None else (exercise.score, exercise.max_score)


def _mark(exercise: ExerciseResult | None) -> str:
    return _NONE if exercise is None else f"{exercise.score:g} / {exercise.max_score:g} {exercise.state}"
