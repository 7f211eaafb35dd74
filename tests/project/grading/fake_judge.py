"""Provide a judge that follows instructions instead of judging, for tests of the code around the real judge."""

import os
import signal
import time
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import ExerciseResult, Status, SubmissionResult, TestResult
from rlhf_course.grading.submissions.submission import Submission

INSTRUCTION = "part1_rlhf/instruction.py"


class FakeJudge:
    """Gives each exercise as many points as its text has characters, and executes the submission's instruction.

    Attributes:
        log: A file to which the name of each judged submission is appended; None for no log.
        refuse: Whether to raise an error at the start, as a judge does without isolation.
    """

    def __init__(self, log: Path | None = None, refuse: bool = False) -> None:
        self.log, self.refuse = log, refuse

    def __enter__(self) -> "FakeJudge":
        if self.refuse:
            raise CourseError("no isolation here")
        return self

    def __exit__(self, *error: object) -> None:
        self._append_to_log("end")

    def _append_to_log(self, line: str) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{line}\n")

    def grade(self, submission: Submission) -> SubmissionResult:
        """Execute the submission's instruction, and return its result."""
        self._append_to_log(submission.name)
        instruction = submission.files.get(INSTRUCTION, "")
        self._execute(instruction)
        exercises = {}
        for exercise in submission.exercises:
            text = submission.files.get(exercise.path)
            score = min(exercise.points, len(text or ""))
            status: Status = "passed" if score == exercise.points else "failed"
            if text is None:
                status = "unreadable" if exercise.name in submission.unreadable else "missing"
            message = "" if status == "passed" else "it is short"
            test = TestResult(name="is long", points=exercise.points, status=status, message=message)
            exercises[exercise.name] = ExerciseResult(
                score=score, max_score=exercise.points, status=status, tests=[test]
            )
        return SubmissionResult(
            name=submission.name,
            score=sum(result.score for result in exercises.values()),
            max_score=sum(result.max_score for result in exercises.values()),
            seconds=0.25,
            warnings=[*submission.warnings, "judged by a fake", *self._process_state(instruction)],
            exercises=exercises,
        )

    def _process_state(self, instruction: str) -> list[str]:
        if instruction != "report_process_state":
            return []
        is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return [f"threads {os.environ['OMP_NUM_THREADS']}, SIGINT {'ignored' if is_ignored else 'handled'}"]

    def _execute(self, instruction: str) -> None:
        command, _, argument = instruction.partition(" ")
        if command == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif command == "die_once" and not Path(argument).exists():
            Path(argument).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif command == "hang":
            time.sleep(3600)
        elif command == "fail":
            raise ZeroDivisionError("a fault of the judge")
        elif command == "sleep":
            time.sleep(float(argument))


class LoggedJudge(FakeJudge):
    """A fake judge that also logs when it is started."""

    def __enter__(self) -> "LoggedJudge":
        self._append_to_log("start")
        super().__enter__()
        return self


def cache_in(folder: Path, limits: ResourceLimits | None = None, isolation: str = "unsafe") -> ResultCache:
    """Return the result cache in a subfolder of `folder`."""
    return ResultCache(folder / "cache", isolation, limits or ResourceLimits())
