"""Grading on an existing Dask cluster: each of its processes makes one judge."""

import logging
import pickle
from collections.abc import Iterator
from threading import Lock
from typing import Any

from rlhf_course.errors import CourseError, missing_extra
from rlhf_course.grading.batch.cache import grading_version
from rlhf_course.grading.batch.pool import AnyJudge, JudgeFactory, Task, lost
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission

_PATIENCE = 30


class Cluster:
    """The workers of a Dask scheduler, in place of a `Pool`."""

    def __init__(self, make_judge: JudgeFactory, address: str) -> None:
        """Connect.

        Args:
            make_judge: called once in each worker; has to be picklable.
            address: of the scheduler, e.g. tcp://10.0.0.1:8786.

        Raises:
            CourseError: no scheduler answers, it has no workers, or Dask is not installed.
        """
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise missing_extra("--scheduler", "grading-at-scale") from error

        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._make_judge = make_judge
        try:
            self._client = Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CourseError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            self._client.close()
            raise CourseError(f"the Dask scheduler at {address} has no workers") from error

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def results(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, SubmissionResult, bool]]:
        """Grade numbered submissions; see `Pool.results`. What a lost worker was grading is graded by another."""
        from distributed import as_completed

        asked: dict[Any, Task] = {}
        again: list[Task] = []
        futures = as_completed(loop=self._client.loop)
        for _ in range(2 * max(1, sum(self._client.nthreads().values()))):
            self._ask(next(tasks, None), asked, futures)
        for future in futures:
            task = asked.pop(future)
            error = future.exception()
            if error is None:
                yield task, future.result(), True
            elif isinstance(error, CourseError):
                raise error
            else:
                again.append(task)
            self._ask(next(tasks, None), asked, futures)
        for task in again:
            yield self._alone(task)

    def _ask(self, task: Task | None, asked: dict[Any, Task], futures: Any) -> None:
        if task is not None:
            future = self._submit(task)
            asked[future] = task
            futures.add(future)

    def _submit(self, task: Task) -> Any:
        return self._client.submit(grade_here, grading_version(), self._make_judge, task[1], pure=False)

    def _alone(self, task: Task) -> tuple[Task, SubmissionResult, bool]:
        """Try a task again while nothing else runs, so that it answers for itself alone."""
        future = self._submit(task)
        error = future.exception()
        if isinstance(error, CourseError):
            raise error
        if error is not None:
            return task, lost(task[1], f"grading it failed on the cluster, twice: {type(error).__name__}"), False
        return task, future.result(), True


_alone = Lock()
_judges: dict[bytes, Any] = {}


def grade_here(version: str, make_judge: JudgeFactory, submission: Submission) -> SubmissionResult:
    """Grade a submission in this worker of a cluster, with the judge that it already has where that is of the same making.

    Raises:
        CourseError: this worker's course is another than the one that asks, so that its marks could differ.
    """
    if version != grading_version():
        raise CourseError(
            "a worker of the cluster has another version of the course or its libraries: install the same one there"
        )
    with _alone:
        return _judge(make_judge).grade(submission)


def _judge(make_judge: JudgeFactory) -> AnyJudge:
    making = pickle.dumps(make_judge)
    if making not in _judges:
        while _judges:
            _judges.popitem()[1].__exit__(None, None, None)
        try:
            _judges[making] = make_judge().__enter__()
        except CourseError as error:  # one of plain text travels back to whoever asked
            raise CourseError(str(error)) from None
    return _judges[making]
