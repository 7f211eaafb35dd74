"""A judge that reads instructions in place of judging: for tests of what surrounds the real one."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.results import ExerciseResult, SubmissionResult, TestResult
from rlhf_course.grading.submissions.submission import Submission


class FakeJudge:
    """Gives each exercise that is handed in as many points as its text says; obeys what stands in `order.py`.

    Attributes:
        log: a file that a line is added to for each submission that is judged; None for no log.
    """

    def __init__(self, log: Path | None = None, refuse: bool = False) -> None:
        self.log, self.refuse = log, refuse

    def __enter__(self) -> "FakeJudge":
        if self.refuse:
            raise CourseError("no isolation here")
        return self

    def __exit__(self, *error: object) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write("end\n")

    def grade(self, submission: Submission) -> SubmissionResult:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{submission.name}\n")
        self._obey(submission.files.get("part1_rlhf/order.py", ""))
        exercises = {}
        for exercise in submission.exercises:
            text = submission.files.get(exercise.path)
            score = min(exercise.points, len(text or ""))
            status = "missing" if text is None else "passed" if score == exercise.points else "failed"
            test = TestResult(
                name="is long",
                points=exercise.points,
                status=status,
                message="" if status == "passed" else "it is short",
            )
            exercises[exercise.name] = ExerciseResult(
                score=score, max_score=exercise.points, status=status, tests=[test]
            )
        return SubmissionResult(
            name=submission.name,
            score=sum(one.score for one in exercises.values()),
            max_score=sum(one.max_score for one in exercises.values()),
            seconds=0.25,
            warnings=[
                *submission.warnings,
                "judged by a fake",
                *self._told(submission.files.get("part1_rlhf/order.py")),
            ],
            exercises=exercises,
        )

    def _told(self, order: str | None) -> list[str]:
        if order != "tell":
            return []
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return [f"threads {os.environ['OMP_NUM_THREADS']}, interrupts {'ignored' if ignored else 'heard'}"]

    def _obey(self, order: str) -> None:
        word, _, rest = order.partition(" ")
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "die_once" and not Path(rest).exists():
            Path(rest).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "hang":
            time.sleep(3600)
        elif word == "fail":
            raise ZeroDivisionError("a fault of the judge")
        elif word == "sleep":
            time.sleep(float(rest))


class CountedJudge(FakeJudge):
    """Notes in its log that it was made, too."""

    def __enter__(self) -> "CountedJudge":
        with self.log.open("a") as file:
            file.write("made\n")
        return super().__enter__()


@dataclass
class FakeLimits:
    """Limits of nothing."""

    seconds: float = 1.0


def kept_in(folder: Path, limits: FakeLimits = FakeLimits(), isolation: str = "unsafe") -> ResultCache:
    return ResultCache(folder / "kept", isolation, limits)
