"""What a learner hands in, as text."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Submission:
    """One learner's work.

    Attributes:
        name: what reports call it.
        files: text of each file by its path below `part1_rlhf/`; a file that is missing or an untouched stub is absent.
        warnings: what the instructor should know about how it was read.
    """

    name: str
    files: Mapping[str, str]
    warnings: tuple[str, ...] = ()
