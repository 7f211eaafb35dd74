"""Define a submission: the texts that a learner hands in."""

from collections.abc import Mapping
from dataclasses import dataclass

from rlhf_course.course import DEFAULT_PART, PARTS_BY_NAME, Exercise


@dataclass(frozen=True)
class Submission:
    """One learner's work.

    Attributes:
        name: The name of the submission in reports.
        files: The text of each file by its path, which begins with the part's folder. A file that is missing or an
            untouched stub is absent.
        warnings: Messages for the instructor about the reading of the submission.
        parts: The names of the parts that it is graded on.
        other_parts: The names of the parts that were handed in too, but are not graded now.
        unreadable: The names of the exercises that have no text in `files` because a file that may hold their answer
            could not be read.
        left_out: The names of the exercises of its parts that the course leaves out; they are not graded.
    """

    name: str
    files: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    parts: tuple[str, ...] = (DEFAULT_PART.name,)
    other_parts: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises that the submission is graded on."""
        return tuple(
            exercise
            for name in self.parts
            for exercise in PARTS_BY_NAME[name].exercises
            if exercise.name not in self.left_out
        )
