"""List whose marks differ between two gradings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf_course.grading.results import ExerciseResult, SubmissionResult

_NONE = "-"


@dataclass(frozen=True)
class Change:
    """A mark that differs between two gradings.

    Attributes:
        learner: The name of the submission.
        exercise: The name of the exercise; empty for the whole mark, where only one grading holds the submission, or
            full marks or the penalty for late work differ.
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
        if _beside_exercises(before[name]) != _beside_exercises(after[name]):
            changes.append(Change(name, "", _total(before[name]), _total(after[name])))
    return changes


def print_changes(old: Sequence[SubmissionResult], new: Sequence[SubmissionResult], console: Console) -> list[Change]:
    """Print each mark that differs between two gradings, and of how many learners; returns them."""
    changes = changed_marks(old, new)
    if changes:
        console.print(changes_table(changes))
        learners = len({change.learner for change in changes})
        whose = "1 learner differs" if learners == 1 else f"{learners} learners differ"
        console.print(f"marks of {whose} from those that the file holds", highlight=False)
    return changes


def changes_table(changes: Sequence[Change]) -> Table:
    """Return the changes as a table for the terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("submission", "exercise", "was", "is now"):
        table.add_column(column, overflow="fold")
    for change in changes:
        table.add_row(*map(Text, (change.learner, change.exercise or "all", change.old, change.new)))
    return table


def print_recount(
    path: Path, old: Sequence[SubmissionResult], new: Sequence[SubmissionResult], not_graded: Sequence[str]
) -> None:
    """Print on standard error what the settings of a course change in the results of a file, which stays as it is.

    Args:
        path: The file.
        old: The results in the file.
        new: The results as the course counts them.
        not_graded: The exercises of the course that the file has no results of.
    """
    console = Console(stderr=True)
    if changed_marks(old, new):
        console.print(f"course.toml counts other marks than {path} holds:", markup=False, highlight=False)
        print_changes(old, new, console)
    if not_graded:
        names = ", ".join(not_graded)
        message = f"{path} has no results of {names}, which course.toml does not leave out: grade again"
        console.print(message, markup=False, highlight=False, soft_wrap=True)


def _beside_exercises(result: SubmissionResult) -> tuple[float, ...]:
    """Return what decides a mark beside the points of exercises: the penalty, and full marks of the course's own."""
    points = sum(exercise.score for exercise in result.exercises.values())
    most = sum(exercise.max_score for exercise in result.exercises.values())
    return tuple(round(value, 6) for value in (result.late_penalty, result.score - points, result.max_score - most))


def _total(result: SubmissionResult) -> str:
    late = f" ({result.score:g} - {result.late_penalty:g} late)" if result.late_penalty else ""
    return f"{result.mark:g} / {result.max_score:g}{late}"


def _points(exercise: ExerciseResult | None) -> tuple[float, float] | None:
    return None if exercise is None else (exercise.score, exercise.max_score)


def _mark(exercise: ExerciseResult | None) -> str:
    return _NONE if exercise is None else f"{exercise.score:g} / {exercise.max_score:g} {exercise.state}"
