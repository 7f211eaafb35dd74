"""Grade a submission: run the hidden tests on sandboxed answers. No learner's code runs in this process."""

import importlib
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rlhf_course.checks.tiny import classifier_folder, gpt2_folder
from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.grading.drivers import DRIVEN
from rlhf_course.grading.judge.mistakes import recognised_mistake
from rlhf_course.grading.judge.recorder import CallRecorder
from rlhf_course.grading.judge.suite import HIDDEN, run_suite
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import ExerciseResult, Status, SubmissionResult, TestResult
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, Level, require_isolation
from rlhf_course.grading.sandbox.proxies import SandboxedAnswers
from rlhf_course.grading.sandbox.zygote import ZygoteConfig
from rlhf_course.grading.sandbox.zygote_client import Zygote, ZygoteLost
from rlhf_course.grading.secret import PUBLIC, Secret
from rlhf_course.grading.submissions.submission import Submission

__all__ = ["IsolationUnavailable", "Judge", "ResourceLimits"]

_PRELOADED_MODELS = 8
_MAX_MESSAGE_LENGTH = 500
# The status of an exercise is the first of these that one of its tests has.
_STATUS_PRECEDENCE: tuple[Status, ...] = ("timeout", "error", "failed", "unreadable", "missing", "passed")


class Judge:
    """Grades submissions, one after the other, with one zygote.

    Use it as a context manager: at its end no process is left.
    """

    def __init__(
        self, isolation: Level = "namespaces", limits: ResourceLimits | None = None, secret: Secret = PUBLIC
    ) -> None:
        """Configure the judge; its processes start when the context is entered.

        Args:
            isolation: The isolation level of the sandboxes.
            limits: What each answer may use; by default the default limits.
            secret: The course's secret, from which hidden tests draw their inputs.
        """
        self.isolation, self.limits, self.secret = isolation, limits or ResourceLimits(), secret
        self._zygote: Zygote | None = None

    def __enter__(self) -> "Judge":
        require_isolation(self.isolation)
        self._zygote = self._start_zygote()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running_zygote().close()

    def _start_zygote(self) -> Zygote:
        language_model, classifier = gpt2_folder(), classifier_folder()
        for folder in (Path(language_model), Path(classifier)):
            for path in (folder, *folder.iterdir()):
                path.chmod(0o755)  # A sandbox runs as another user.
        return Zygote(ZygoteConfig(self.isolation, self.limits, language_model, classifier, _PRELOADED_MODELS))

    def _running_zygote(self) -> Zygote:
        if self._zygote is None:
            raise RuntimeError("a Judge has to be used as a context manager")
        return self._zygote

    def grade(self, submission: Submission) -> SubmissionResult:
        """Run the hidden tests on a submission.

        Raises:
            CourseError: The tests cannot be run, whatever the submission.
            ZygoteLost: No sandboxes can be started any more.
        """
        start = time.perf_counter()
        try:
            exercises = self._grade_exercises(submission)
        except ZygoteLost:
            # Something outside has killed the zygote, for example the kernel where memory ran out. Try once more.
            self._running_zygote().close()
            self._zygote = self._start_zygote()
            exercises = self._grade_exercises(submission)
        return SubmissionResult(
            name=submission.name,
            score=sum(result.score for result in exercises.values()),
            max_score=sum(result.max_score for result in exercises.values()),
            seconds=time.perf_counter() - start,
            warnings=list(submission.warnings),
            exercises=exercises,
        )

    def answers(self, submission: Submission) -> SandboxedAnswers:
        """Return a submission's answers in sandboxes, as a context manager."""
        return SandboxedAnswers(self._running_zygote(), submission, self.limits)

    def _grade_exercises(self, submission: Submission) -> dict[str, ExerciseResult]:
        results = {}
        with self.answers(submission) as answers:
            for exercise in submission.exercises:
                recorder = CallRecorder()
                run = run_suite(answers, [exercise.name], secret=self.secret, recorder=recorder)
                tests = [_printable(test) for test in run[exercise.name]]
                is_wrong = _exercise_status(tests) in ("failed", "error")
                mistake = _mistake(answers, exercise, tests, recorder, self.secret) if is_wrong else None
                results[exercise.name] = _exercise_result(tests, mistake, recorder.outputs.number)
        return results


def _printable(test: TestResult) -> TestResult:
    """Return a test's result with a shortened message of printable characters, which fits a report."""
    message = "".join(char if char.isprintable() else " " for char in test.message[:_MAX_MESSAGE_LENGTH])
    return test.model_copy(update={"message": message})


def _exercise_result(tests: list[TestResult], mistake: str | None, outputs: float | None) -> ExerciseResult:
    score = sum(test.points for test in tests if test.status == "passed")
    max_score = sum(test.points for test in tests)
    return ExerciseResult(
        score=score,
        max_score=max_score,
        status=_exercise_status(tests),
        tests=tests,
        mistake=mistake,
        outputs=outputs,
    )


def _exercise_status(tests: list[TestResult]) -> Status:
    """Return the status of an exercise: the most severe status of its tests."""
    statuses = {test.status for test in tests}
    return next(status for status in _STATUS_PRECEDENCE if status in statuses)


def _mistake(
    answers: SandboxedAnswers, exercise: Exercise, tests: list[TestResult], recorder: CallRecorder, secret: Secret
) -> str | None:
    """Return the description of the known mistake that an answer behaves like, if there is one.

    A function is compared on the calls that the hidden tests made, any other answer on the visible cases. What comes
    from a sandbox is data, which may be anything: if the comparison fails, there is no description.
    """
    try:
        if exercise.name not in DRIVEN:
            failed = [test.name for test in tests if test.status != "passed"]
            return recognised_mistake(answers, exercise.name, recorder.calls, failed, HIDDEN, secret)
        return _mistake_on_visible_cases(answers, exercise)
    except Exception as error:
        if isinstance(error, OSError | CourseError):  # Grading itself is broken.
            raise
        return None


def _mistake_on_visible_cases(answers: SandboxedAnswers, exercise: Exercise) -> str | None:
    check = importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}").CHECK
    answer = answers.answer(exercise.name)
    observations: dict[str, dict[str, Any]] = {}
    description: str | None = None
    for case in check.cases:
        observations[case] = answer.observe(case=case)
        mistake = check.diagnose_observed(observations)
        if mistake is None:  # Whatever the other cases show, no known mistake does the same on all of them.
            return None
        description = mistake.description
    return description
