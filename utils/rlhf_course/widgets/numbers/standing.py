"""Where a learner stands in the course."""

from collections.abc import Sequence
from typing import NamedTuple


class Standing(NamedTuple):
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


def passed(standings: Sequence[Standing]) -> int:
    """How many exercises are done."""
    return sum(one.status == "passed" for one in standings)


def next_step(standings: Sequence[Standing]) -> str:
    """What to do next, in a sentence."""
    done = passed(standings)
    for one in standings:
        if one.status != "passed":
            step = f"check({one.exercise!r})" if one.status == "not checked" else one.exercise
            return f"{done} of {len(standings)} passed. Next: {step}, in {one.notebook}.ipynb"
    return f"All {done} passed."
