"""Define the state of the learner's tools that is kept in the Python process and in no file."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class Session:
    """The state of the learner's tools in one process, usually a notebook's kernel.

    Attributes:
        digests: The digest of the text that a cell of this process last saved or loaded, by exercise.
        unsaved: Exercises whose cell could not be saved when it last ran, so that their file holds another text.
        substituted: Exercises that the reference answers at the moment in place of the learner.
        training: The folder of the run that this process is training, or None.
        predictions: Predictions that were made without a workspace to record them in, by key.
    """

    digests: dict[str, str] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)
    substituted: tuple[str, ...] = ()
    training: Path | None = None
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def busy(self) -> str | None:
        """Return why nothing can be checked or trained now, or None if it can.

        During a run nothing else may use the learner's functions or the random number generators.
        """
        if self.training is None:
            return None
        return f"{self.training} is being trained: stop it first, or wait for it with `await ….finished()`"


@cache
def current_session() -> Session:
    """Return the session of this process."""
    return Session()
