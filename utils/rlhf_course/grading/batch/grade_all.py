"""Grade many submissions: take cached results, grade the others, and cache each new result at once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.batch.pool import Task
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission


class Grader(Protocol):
    """Grades numbered submissions; a `Pool` or a `Cluster`."""

    def results(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, SubmissionResult, bool]]:
        """Yield each task, its result, and whether the task was graded rather than given up, in any order."""


def grade_all(
    submissions: Iterable[Submission],
    grader: Grader,
    cache: ResultCache | None,
    on_result: Callable[[Submission, SubmissionResult], None] = lambda submission, result: None,
) -> list[SubmissionResult]:
    """Grade submissions.

    Args:
        submissions: The submissions; an iterator is advanced only when the next submission can be graded.
        grader: The pool or cluster that grades the submissions that are not in the cache.
        cache: The cache of results; None for no cache.
        on_result: A function that is called with each submission and its result as soon as there is one.

    Returns:
        The results in the order of the submissions.

    Raises:
        CourseError: No judge can be started, or a result cannot be stored.
    """
    results: dict[int, SubmissionResult] = {}

    def add(number: int, submission: Submission, result: SubmissionResult) -> None:
        results[number] = result
        on_result(submission, result)

    def tasks_not_in_cache() -> Iterator[Task]:
        for number, submission in enumerate(submissions):
            if cache is not None and (cached := cache.get(submission)) is not None:
                add(number, submission, cached)
            else:
                yield number, submission

    for (number, submission), result, is_graded in grader.results(tasks_not_in_cache()):
        # What time or memory decided may come out otherwise in another run.
        if cache is not None and is_graded and not result.is_decided_by_limits:
            cache.put(submission, result)
        add(number, submission, result)
    return [results[number] for number in sorted(results)]
