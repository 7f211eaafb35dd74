"""Summarise the results of a class: scores, exercises, frequent causes, hidden tests, and where learners are stuck."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from rlhf_course.course import BY_NAME
from rlhf_course.grading.reports.items import Item, analyse_items
from rlhf_course.grading.results import GradeReport, State, SubmissionResult

STATES: tuple[State, ...] = get_args(State)
_MAX_CAUSES = 25


@dataclass(frozen=True)
class ExerciseSummary:
    """The results of a class in one exercise.

    Attributes:
        name: The name of the exercise.
        max_score: The maximum score.
        minutes: The time that a prepared learner needs, as in the course's list of exercises.
        part: The part of the course that it belongs to.
        counts: The number of learners in each state.
        mean: The mean score of the learners whose answer could be read.
        stuck: The learners who passed all earlier exercises, and tried this one, but did not pass it.
        next: The learners who passed all earlier exercises, and have not tried this one.
    """

    name: str
    max_score: float
    minutes: str
    part: str
    counts: dict[State, int]
    mean: float
    stuck: list[str]
    next: list[str]

    @property
    def pass_rate(self) -> float:
        """The share with full marks among the learners whose answer could be read."""
        return self.counts["passed"] / max(1, sum(self.counts.values()) - self.counts["unreadable"])

    def share(self, state: State) -> float:
        """Return the share of the learners in a state."""
        return self.counts[state] / max(1, sum(self.counts.values()))


@dataclass(frozen=True)
class PartSummary:
    """The results of a class in one part of the course.

    Attributes:
        name: The name of the part.
        max_score: The maximum score.
        mean: The mean score of the learners whose answers could be read.
        finished: The number of learners who passed all of its exercises.
    """

    name: str
    max_score: float
    mean: float
    finished: int


@dataclass(frozen=True)
class Cause:
    """A reason why learners lost points in an exercise.

    Attributes:
        exercise: The name of the exercise.
        description: The description of the known mistake, or else the message of the first failed test.
        learners: The names of the learners.
        example: One of the messages, which names no learner; empty if the description is one.
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
        unread: The learners of whom something could not be read; mean, median and percents leave them out.
        handed_in: The first and the last time of handing in; None if no time is known.
        late: The learners who lose points for late work.
        max_score: The maximum score of all exercises together.
        mean: The mean score.
        mean_mark: The mean score without the penalties for late work.
        median: The median score.
        percents: The scores in percent.
        parts: The summary of each part.
        exercises: The summary of each exercise.
        finished: The learners who passed all exercises.
        causes: The reasons for which most learners lost points.
        items: The analysis of each hidden test.
        seconds: The time that grading all submissions took.
        median_seconds: The median time of one submission.
        slowest: The results of the submissions that took longest.
    """

    submissions: int
    unread: list[str]
    handed_in: tuple[datetime, datetime] | None
    late: list[str]
    max_score: float
    mean: float
    mean_mark: float
    median: float
    percents: list[float]
    parts: list[PartSummary]
    exercises: list[ExerciseSummary]
    finished: list[str]
    causes: list[Cause]
    items: list[Item]
    seconds: float
    median_seconds: float
    slowest: list[SubmissionResult]


def summarise(report: GradeReport) -> ClassSummary:
    """Return the summary of a class."""
    results = report.submissions
    read = [result for result in results if not result.is_unread]
    scores = [result.score for result in read] or [0.0]
    seconds = [result.seconds for result in results] or [0.0]
    times = [result.handed_in for result in results if result.handed_in is not None]
    names = list(dict.fromkeys(name for result in results for name in result.exercises))
    return ClassSummary(
        submissions=len(results),
        unread=[result.name for result in results if result.is_unread],
        handed_in=(min(times), max(times)) if times else None,
        late=[result.name for result in results if result.late_penalty],
        max_score=max((result.max_score for result in results), default=0),
        mean=statistics.fmean(scores),
        mean_mark=statistics.fmean([result.mark for result in read] or [0.0]),
        median=statistics.median(scores),
        percents=[percent(result) for result in read],
        parts=[_part(part, read) for part in dict.fromkeys(map(_part_name, names))],
        exercises=[_exercise(name, results) for name in names],
        finished=[result.name for result in results if _first_not_passed(result) is None],
        causes=_most_frequent(_causes(results)),
        items=analyse_items(results),
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


def _part_name(exercise: str) -> str:
    return BY_NAME[exercise].part if exercise in BY_NAME else ""


def _part(name: str, read: Sequence[SubmissionResult]) -> PartSummary:
    graded = [[exercise for key, exercise in result.exercises.items() if _part_name(key) == name] for result in read]
    exercises = [part for part in graded if part]
    return PartSummary(
        name=name,
        max_score=max((sum(exercise.max_score for exercise in part) for part in exercises), default=0),
        mean=statistics.fmean(sum(exercise.score for exercise in part) for part in exercises) if exercises else 0.0,
        finished=sum(all(exercise.status == "passed" for exercise in part) for part in exercises),
    )


def _exercise(name: str, results: Sequence[SubmissionResult]) -> ExerciseSummary:
    exercises = [result.exercises[name] for result in results if name in result.exercises]
    counts = Counter(exercise.state for exercise in exercises)
    read = [exercise for exercise in exercises if exercise.status != "unreadable"]
    at_exercise = [result for result in results if _first_not_passed(result) == name]
    return ExerciseSummary(
        name=name,
        max_score=max(exercise.max_score for exercise in exercises),
        minutes=BY_NAME[name].minutes_text if name in BY_NAME else "",
        part=_part_name(name),
        counts={state: counts[state] for state in STATES},
        mean=statistics.fmean(exercise.score for exercise in read) if read else 0.0,
        stuck=[result.name for result in at_exercise if result.exercises[name].state not in ("missing", "unreadable")],
        next=[result.name for result in at_exercise if result.exercises[name].state == "missing"],
    )


def _causes(results: Sequence[SubmissionResult]) -> Iterable[tuple[str, str, str, str]]:
    for result in results:
        for name, exercise in result.exercises.items():
            messages = [test.message for test in exercise.tests if test.status in ("failed", "error", "timeout")]
            if exercise.mistake:
                yield name, exercise.mistake, result.name, next(filter(None, messages), "")
            elif messages:
                yield name, next(filter(None, messages), "a test failed"), result.name, ""


def _most_frequent(occurrences: Iterable[tuple[str, str, str, str]]) -> list[Cause]:
    """Return the causes that most learners share, the most frequent first.

    Args:
        occurrences: For each occurrence the exercise, the description, the learner and a message.
    """
    causes: dict[tuple[str, str], Cause] = {}
    for exercise, description, learner, example in occurrences:
        causes.setdefault((exercise, description), Cause(exercise, description, [], example)).learners.append(learner)
    return sorted(causes.values(), key=lambda cause: -len(cause.learners))[:_MAX_CAUSES]
