"""Grading a class: what is kept is looked up, the rest is judged, each result is kept as it comes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.batch.pool import Task
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission


class Grader(Protocol):
    """A `Pool` or a `Cluster`."""

    def results(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, SubmissionResult, bool]]:
        """Task, result, and whether it was judged, as they come."""


def grade_all(
    submissions: Iterable[Submission],
    grader: Grader,
    kept: ResultCache | None,
    done: Callable[[SubmissionResult], None] = lambda result: None,
) -> list[SubmissionResult]:
    """Grade submissions.

    Args:
        submissions: read one by one as they are needed.
        kept: where results are looked up and kept; None for neither.
        done: called with each result as it comes.

    Returns: the results in the order of the submissions.

    Raises:
        CourseError: the judge cannot be made, or a result cannot be kept.
    """
    results: dict[int, SubmissionResult] = {}

    def take(number: int, result: SubmissionResult) -> None:
        results[number] = result
        done(result)

    def open_tasks() -> Iterator[Task]:
        for number, submission in enumerate(submissions):
            if kept is not None and (known := kept.find(submission)) is not None:
                take(number, known)
            else:
                yield number, submission

    for (number, submission), result, is_judged in grader.results(open_tasks()):
        if kept is not None and is_judged:
            kept.keep(submission, result)
        take(number, result)
    return [results[number] for number in sorted(results)]
