"""Normalize learners' answers in a process with limits, since their texts may be made to exhaust a parser."""

from rlhf_course.course import Exercise
from rlhf_course.grading.submissions.limited_process import (
    UNEXPECTED_FORM,
    LimitedProcess,
    ReadingFailed,
    ReadingLimits,
)
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.similarity import normalize
from rlhf_course.similarity.normalize import tokens

# The limits of one answer. The longest answer of the course has 10,000 characters and 2,500 tokens.
LIMITS = ReadingLimits(cpu_seconds=2, memory=512, deadline=10, reply=4)
_MAX_CHARACTERS, _MAX_TOKENS = 100_000, 20_000


class LimitedNormalizer:
    """Normalizes answers; one that exceeds a limit has no lines, so that it is not compared, and causes a warning.

    Args:
        process: The process that parses the answers.

    Attributes:
        warnings: The warnings, which name the submission and the file.
    """

    def __init__(self, process: LimitedProcess) -> None:
        self._process = process
        self.warnings: list[str] = []

    def __call__(self, submission: Submission, exercise: Exercise) -> list[str]:
        """Return the normalized lines of a submission's answer to an exercise."""
        text = submission.files.get(exercise.path, "")
        if not text:
            return []
        try:
            return self._lines(text, exercise)
        except ReadingFailed as error:
            self.warnings.append(f"{submission.name}: {exercise.path} {error}; it was not compared")
            return []

    def _lines(self, text: str, exercise: Exercise) -> list[str]:
        if len(text) > _MAX_CHARACTERS:
            raise ReadingFailed(f"is longer than {_MAX_CHARACTERS} characters")
        lines = self._process.call(f"{normalize.__name__}:normalized_lines", text, exercise.name)
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ReadingFailed(UNEXPECTED_FORM)
        if len(tokens(lines)) > _MAX_TOKENS:
            raise ReadingFailed(f"has more than {_MAX_TOKENS} tokens")
        return lines
