"""What one Python process knows of a learner's work that no file holds."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class Session:
    """The state of the learner's tools in one process, which is a notebook's kernel as a rule.

    Attributes:
        digests: fingerprint of the text that a cell here last saved or loaded, by exercise.
        unsaved: exercises whose cell could not be saved when it last ran, so that their file holds another text.
        substituted: exercises that the reference answers at the moment in place of the learner.
        training: folder of the run that is being trained here, or None.
        predictions: predictions made where there is no workspace to record them in.
    """

    digests: dict[str, str] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)
    substituted: tuple[str, ...] = ()
    training: Path | None = None
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def busy(self) -> str | None:
        """Why nothing can be checked or trained now, or None. A run shares functions and random numbers with nobody."""
        if self.training is None:
            return None
        return f"{self.training} is being trained: stop it first, or wait for it with `await ….finished()`"


@cache
def current_session() -> Session:
    """The session of this process."""
    return Session()
