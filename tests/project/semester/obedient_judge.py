"""A judge for tests of what surrounds the real one: it passes what it gets, and dies or refuses where it is told to."""

import os
import signal
from typing import Any

from classroom import found

from rlhf_course.errors import CourseError
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission


class ObedientJudge:
    """Does what `order.py` in a submission says."""

    def __init__(self, isolation: str, limits: Any, secret: Any) -> None:
        self.isolation = isolation

    def __enter__(self) -> "ObedientJudge":
        if self.isolation == "uid":
            raise CourseError("no such isolation here")
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def grade(self, submission: Submission) -> SubmissionResult:
        """Pass every exercise, or die."""
        if "die" in submission.files.get("part1_rlhf/order.py", ""):
            os.kill(os.getpid(), signal.SIGKILL)
        return found(warnings=submission.warnings).model_copy(update={"name": submission.name})
