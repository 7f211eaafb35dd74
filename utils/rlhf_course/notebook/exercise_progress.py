"""Describe the progress of a learner in each exercise, and the next step."""

from collections.abc import Sequence
from typing import NamedTuple


class ExerciseProgress(NamedTuple):
    """The progress of a learner in one exercise.

    Attributes:
        notebook: The notebook that teaches the exercise.
        exercise: The exercise's name.
        status: One of "passed", "wrong", "error", "not attempted" and "not checked".
        hints_open: The number of hints that are open.
        hints: The number of hints that there are.
        minutes: How long the exercise takes, such as "10-15".
    """

    notebook: str
    exercise: str
    status: str
    hints_open: int
    hints: int
    minutes: str


def passed(progress_rows: Sequence[ExerciseProgress]) -> int:
    """Count the exercises that have passed."""
    return sum(row.status == "passed" for row in progress_rows)


def next_step(progress_rows: Sequence[ExerciseProgress]) -> str:
    """Return a sentence that names the next exercise."""
    done = passed(progress_rows)
    for row in progress_rows:
        if row.status != "passed":
            step = f"check({row.exercise!r})" if row.status == "not checked" else row.exercise
            return f"{done} of {len(progress_rows)} passed. Next: {step}, in {row.notebook}.ipynb"
    return f"All {done} passed."
