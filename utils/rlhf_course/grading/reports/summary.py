"""Summarise the results of a class: scores, exercises, frequent mistakes, and where learners are stuck."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from rlhf_course.course import BY_NAME
from rlhf_course.grading.results import ExerciseResult, GradeReport, Status, SubmissionResult

STATUSES: tuple[Status, ...] = get_args(Status)
_MAX_FAULTS = 25


@dataclass(frozen=True)
class ExerciseSummary:
    """The results of a class in one exercise.

    Attributes:
        name: The name of the exercise.
        max_score: The maximum score.
        minutes: The time that a prepared learner needs, as in the course's list of exercises.
        counts: The number of learners with each status.
        mean: The mean score.
        stuck: The learners who passed all earlier exercises, and tried this one, but did not pass it.
        next: The learners who passed all earlier exercises, and have not tried this one.
    """

    name: str
    max_score: float
    minutes: str
    counts: dict[Status, int]
    mean: float
    stuck: list[str]
    next: list[str]

    @property
    def pass_rate(self) -> float:
        """The share of the learners with full marks."""
        return self.share("passed")

    def share(self, status: Status) -> float:
        """Return the share of the learners with a status."""
        return self.counts[status] / max(1, sum(self.counts.values()))


@dataclass(frozen=True)
class Fault:
    """A known mistake that learners made, or a test that they failed.

    Attributes:
        exercise: The name of the exercise.
        description: The description of the mistake, or the name of the test.
        learners: The names of the learners.
        example: One of the messages.
    """

    exercise: str
    description: str
    learners: list[str]
    example: str


@dataclass(frozen=True)
class ClassSummary:
    """The results of a class in all exercises.

    Attributes:
        submissions: The number of submissions.
        max_score: The maximum score of all exercises together.
        mean: The mean score.
        median: The median score.
        percents: The score of each learner in percent.
        exercises: The summary of each exercise.
        finished: The learners who passed all exercises.
        mistakes: The most frequent known mistakes.
        failed_tests: The tests that most learners failed.
        seconds: The time that grading all submissions took.
        median_seconds: The median time of one submission.
        slowest: The results of the submissions that took longest.
    """

    submissions: int
    max_score: float
    mean: float
    median: float
    percents: list[float]
    exercises: list[ExerciseSummary]
    finished: list[str]
    mistakes: list[Fault]
    failed_tests: list[Fault]
    seconds: float
    median_seconds: float
    slowest: list[SubmissionResult]


def summarise(report: GradeReport) -> ClassSummary:
    """Return the summary of a class."""
    results = report.submissions
    scores = [result.score for result in results] or [0.0]
    seconds = [result.seconds for result in results] or [0.0]
    names = list(dict.fromkeys(name for result in results for name in result.exercises))
    return ClassSummary(
        submissions=len(results),
        max_score=max((result.max_score for result in results), default=0),
        mean=statistics.fmean(scores),
        median=statistics.median(scores),
        percents=[percent(result) for result in results],
        exercises=[_exercise(name, results) for name in names],
        finished=[result.name for result in results if _first_not_passed(result) is None],
        mistakes=_most_frequent(_mistakes(results)),
        failed_tests=_most_frequent(_failed_tests(results)),
        seconds=sum(seconds),
        median_seconds=statistics.median(seconds),
        slowest=sorted(results, key=lambda result: -result.seconds)[:5],
    )


def percent(result: SubmissionResult) -> float:
    """Return a score as a percentage of the maximum score."""
    return 100 * result.score / result.max_score if result.max_score else 0.0


def _first_not_passed(result: SubmissionResult) -> str | None:
    """Return the first exercise of the course that the learner has not passed."""
    return next((name for name, exercise in result.exercises.items() if exercise.status != "passed"), None)


def _exercise(name: str, results: Sequence[SubmissionResult]) -> ExerciseSummary:
    exercises = [result.exercises[name] for result in results if name in result.exercises]
    counts = Counter(exercise.status for exercise in exercises)
    at_exercise = [result for result in results if _first_not_passed(result) == name]
    return ExerciseSummary(
        name=name,
        max_score=max(exercise.max_score for exercise in exercises),
        minutes=BY_NAME[name].minutes_text if name in BY_NAME else "",
        counts={status: counts[status] for status in STATUSES},
        mean=statistics.fmean(exercise.score for exercise in exercises),
        stuck=[result.name for result in at_exercise if result.exercises[name].status != "missing"],
        next=[result.name for result in at_exercise if result.exercises[name].status == "missing"],
    )


def _mistakes(results: Sequence[SubmissionResult]) -> Iterable[tuple[str, str, str, str]]:
    for result in results:
        for name, exercise in result.exercises.items():
            if exercise.mistake:
                yield name, exercise.mistake, result.name, _first_message(exercise)


def _failed_tests(results: Sequence[SubmissionResult]) -> Iterable[tuple[str, str, str, str]]:
    # The first message of a test becomes its example, so failures come first: they say more than errors and timeouts.
    for status in ("failed", "error", "timeout"):
        for result in results:
            for name, exercise in result.exercises.items():
                tests = (test for test in exercise.tests if test.status == status)
                yield from ((name, test.name, result.name, test.message) for test in tests)


def _first_message(exercise: ExerciseResult) -> str:
    return next((test.message for test in exercise.tests if test.message), "")


def _most_frequent(occurrences: Iterable[tuple[str, str, str, str]]) -> list[Fault]:
    """Return the faults that most learners share, the most frequent first.

    Args:
        occurrences: For each occurrence the exercise, the mistake or test, the learner and the message.
    """
    faults: dict[tuple[str, str], Fault] = {}
    for exercise, description, learner, example in occurrences:
        faults.setdefault((exercise, description), Fault(exercise, description, [], example)).learners.append(learner)
    return sorted(faults.values(), key=lambda fault: -len(fault.learners))[:_MAX_FAULTS]
