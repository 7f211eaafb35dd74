"""Where a learner stands in the course."""

from collections.abc import Sequence
from typing import NamedTuple


class ExerciseProgress(NamedTuple):
    """One exercise.

    Attributes:
        notebook: the notebook that teaches it.
        exercise: its name.
        status: passed, wrong, error, not attempted or not checked.
        hints_open, hints: how many hints are open, of how many.
        minutes: what it takes.
    """

    notebook: str
    exercise: str
    status: str
    hints_open: int
    hints: int
    minutes: str


def passed(progress_rows: Sequence[ExerciseProgress]) -> int:
    """How many exercises are done."""
    return sum(one.status == "passed" for one in progress_rows)


def next_step(progress_rows: Sequence[ExerciseProgress]) -> str:
    """What to do next, in a sentence."""
    done = passed(progress_rows)
    for one in progress_rows:
        if one.status != "passed":
            step = f"check({one.exercise!r})" if one.status == "not checked" else one.exercise
            return f"{done} of {len(progress_rows)} passed. Next: {step}, in {one.notebook}.ipynb"
    return f"All {done} passed."
