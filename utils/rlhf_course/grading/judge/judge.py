"""The judge: from a submission to its result. No learner's code runs in the process that this is."""

import importlib
import time
from pathlib import Path
from types import TracebackType

from rlhf_course.course import Exercise
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import ExerciseResult, Status, SubmissionResult, TestResult
from rlhf_course.grading.sandbox.answers import AnswerError
from rlhf_course.grading.sandbox.backends import Bounds
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, Level, require
from rlhf_course.grading.sandbox.proxies import SandboxedAnswers
from rlhf_course.grading.sandbox.zygote import ZygoteConfig
from rlhf_course.grading.sandbox.zygote_client import Zygote, ZygoteLost
from rlhf_course.grading.submissions.submission import Submission

__all__ = ["IsolationUnavailable", "Judge", "ResourceLimits"]

# Language models that a sandbox finds booted.
_MODELS = 8
# Characters of a message.
_MESSAGE = 500


class Judge:
    """Grades submissions, one after the other, with one zygote.

    Use it as a context manager: at its end no process is left.
    """

    def __init__(self, isolation: Level = "namespaces", limits: ResourceLimits = ResourceLimits()) -> None:
        """Say how to grade; processes start with the context.

        Args:
            isolation: how far answers are kept apart.
            limits: what they may take.
        """
        self.isolation, self.limits = isolation, limits
        self._zygote: Zygote | None = None

    def __enter__(self) -> "Judge":
        require(self.isolation)
        self._zygote = Zygote(self._setup())
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zygote.close()

    def _setup(self) -> ZygoteConfig:
        from rlhf_course.checks.tiny import classifier_folder, gpt2_folder

        folders = [gpt2_folder(), classifier_folder()]
        for path in [Path(one) for one in folders] + [file for one in folders for file in Path(one).iterdir()]:
            path.chmod(0o755)  # a sandbox is another user
        bounds = Bounds(
            memory=self.limits.memory * 2**20,
            disk=self.limits.disk * 2**10,
            cpu=int(self.limits.exercise_timeout) + 10,
            threads=self.limits.processes,
            readable=tuple(folders),
        )
        return ZygoteConfig(self.isolation, bounds, self.limits.output * 2**10, *folders, models=_MODELS)

    def grade(self, submission: Submission) -> SubmissionResult:
        """Run the hidden tests on a submission.

        Raises:
            CourseError: the tests cannot be run, whatever the submission.
            ZygoteLost: sandboxes cannot be had any more.
        """
        began = time.perf_counter()
        try:
            exercises = self._judged(submission)
        except ZygoteLost:
            # Something outside has killed it: the system where memory ran out. Once more, from the start.
            self._zygote.close()
            self._zygote = Zygote(self._setup())
            exercises = self._judged(submission)
        return SubmissionResult(
            name=submission.name,
            score=sum(one.score for one in exercises.values()),
            max_score=sum(one.max_score for one in exercises.values()),
            seconds=time.perf_counter() - began,
            warnings=list(submission.warnings),
            exercises=exercises,
        )

    def answers(self, submission: Submission) -> SandboxedAnswers:
        """A submission's answers, in sandboxes; a context manager."""
        return SandboxedAnswers(self._zygote, submission, self.limits)

    def _judged(self, submission: Submission) -> dict[str, ExerciseResult]:
        from rlhf_course.grading.judge.suite import run_suite

        results = {}
        with self.answers(submission) as answers:
            for exercise in submission.exercises:
                tests = [_readable(one) for one in run_suite(answers, [exercise.name])[exercise.name]]
                mistake = _mistake(answers, exercise) if _status(tests) in ("failed", "error") else None
                results[exercise.name] = _result(tests, mistake)
        return results


def _readable(test: TestResult) -> TestResult:
    """The same with a message that fits a report, whatever came into it."""
    message = "".join(one if one.isprintable() else " " for one in test.message[:_MESSAGE])
    return test.model_copy(update={"message": message})


def _result(tests: list[TestResult], mistake: str | None) -> ExerciseResult:
    score = sum(test.points for test in tests if test.status == "passed")
    most = sum(test.points for test in tests)
    return ExerciseResult(score=score, max_score=most, status=_status(tests), tests=tests, mistake=mistake)


def _status(tests: list[TestResult]) -> Status:
    """The status of an exercise: passed where each test is, else what weighs most among its tests'."""
    seen = {test.status for test in tests}
    if "missing" in seen and seen <= {"missing"}:
        return "missing"
    return next(status for status in ("timeout", "error", "failed", "missing", "passed") if status in seen)


def _mistake(answers: SandboxedAnswers, exercise: Exercise) -> str | None:
    """The known mistake that an answer behaves like on the visible cases, in words."""
    check = importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}").CHECK
    try:
        answer = answers.answer(exercise.name)
        seen = {case: answer.observe(case=case) for case in check.cases}
    except AnswerError:
        return None
    found = check.diagnose_observed(seen)
    return None if found is None else found.description
