"""What a class's results say: who did how well, which exercises and mistakes cost most, who is stuck where."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from rlhf_course.course import BY_NAME
from rlhf_course.grading.results import ExerciseResult, GradeReport, Status, SubmissionResult

STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = 25


@dataclass(frozen=True)
class ExerciseSummary:
    """One exercise over the class.

    Attributes:
        minutes: what a prepared learner needs, as the list of exercises has it.
        counts: learners by status.
        mean: of the score.
        stuck: names of those who passed all before it, and tried it, and did not pass.
        next: names of those who passed all before it, and have not tried it.
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
        """Share of the learners with full marks."""
        return self.counts["passed"] / max(1, sum(self.counts.values()))


@dataclass(frozen=True)
class Fault:
    """Something that several learners did, or a test that several failed.

    Attributes:
        what: in words.
        learners: their names.
        example: one of the messages.
    """

    exercise: str
    what: str
    learners: list[str]
    example: str


@dataclass(frozen=True)
class ClassSummary:
    """A class over all exercises; see `summarise`."""

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
    """The figures of a class."""
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
        finished=[result.name for result in results if _first_open(result) is None],
        mistakes=_most_frequent(_mistakes(results)),
        failed_tests=_most_frequent(_failed_tests(results)),
        seconds=sum(seconds),
        median_seconds=statistics.median(seconds),
        slowest=sorted(results, key=lambda result: -result.seconds)[:5],
    )


def percent(result: SubmissionResult) -> float:
    """A score as a share of the most that there is, in percent."""
    return 100 * result.score / result.max_score if result.max_score else 0.0


def _first_open(result: SubmissionResult) -> str | None:
    """The first exercise of the course that is not passed."""
    return next((name for name, one in result.exercises.items() if one.status != "passed"), None)


def _exercise(name: str, results: Sequence[SubmissionResult]) -> ExerciseSummary:
    ones = [result.exercises[name] for result in results if name in result.exercises]
    counted = Counter(one.status for one in ones)
    here = [result for result in results if _first_open(result) == name]
    return ExerciseSummary(
        name=name,
        max_score=max(one.max_score for one in ones),
        minutes="-".join(str(minute) for minute in dict.fromkeys(BY_NAME[name].minutes)) if name in BY_NAME else "",
        counts={status: counted[status] for status in STATUSES},
        mean=statistics.fmean(one.score for one in ones),
        stuck=[result.name for result in here if result.exercises[name].status != "missing"],
        next=[result.name for result in here if result.exercises[name].status == "missing"],
    )


def _mistakes(results: Sequence[SubmissionResult]) -> Iterable[tuple[str, str, str, str]]:
    for result in results:
        for name, one in result.exercises.items():
            if one.mistake:
                yield name, one.mistake, result.name, _first_message(one)


def _failed_tests(results: Sequence[SubmissionResult]) -> Iterable[tuple[str, str, str, str]]:
    # What a test found says more than that an answer did not run: such come first, as examples.
    for status in ("failed", "error", "timeout"):
        for result in results:
            for name, one in result.exercises.items():
                yield from ((name, test.name, result.name, test.message) for test in one.tests if test.status == status)


def _first_message(one: ExerciseResult) -> str:
    return next((test.message for test in one.tests if test.message), "")


def _most_frequent(found: Iterable[tuple[str, str, str, str]]) -> list[Fault]:
    """The faults that most learners share, the most frequent first."""
    faults: dict[tuple[str, str], Fault] = {}
    for exercise, what, learner, example in found:
        faults.setdefault((exercise, what), Fault(exercise, what, [], example)).learners.append(learner)
    return sorted(faults.values(), key=lambda fault: -len(fault.learners))[:_SHOWN]
