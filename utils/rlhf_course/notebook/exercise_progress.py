"""The progress of a learner in each exercise, and the next step."""

from collections.abc import Sequence
from typing import NamedTuple


class ExerciseProgress(NamedTuple):
    """One exercise.

    Attributes:
        notebook: the notebook that teaches it.
        exercise: its name.
        status: passed, wrong, error, not attempted or not checked.
        hints_open, hints: how many hints are open, of how many.
        minutes: how long it takes, such as "10-15".
    """

    notebook: str
    exercise: str
    status: str
    hints_open: int
    hints: int
    minutes: str


def passed(progress_rows: Sequence[ExerciseProgress]) -> int:
    """How many exercises have passed."""
    return sum(row.status == "passed" for row in progress_rows)


def next_step(progress_rows: Sequence[ExerciseProgress]) -> str:
    """What to do next, in a sentence."""
    done = passed(progress_rows)
    for row in progress_rows:
        if row.status != "passed":
            step = f"check({row.exercise!r})" if row.status == "not checked" else row.exercise
            return f"{done} of {len(progress_rows)} passed. Next: {step}, in {row.notebook}.ipynb"
    return f"All {done} passed."
