"""Grade on an existing Dask cluster, each of whose workers keeps one judge."""

import logging
import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager
from threading import Lock
from types import TracebackType
from typing import Any

from rlhf_course.errors import CourseError, missing_extra
from rlhf_course.grading.batch.cache import grading_version
from rlhf_course.grading.batch.pool import JudgeFactory, Outcome, SubmissionJudge, Task, ungraded_result
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission

CONNECT_TIMEOUT = 30.0
_TASKS_PER_THREAD = 2
_JUDGE_ATTRIBUTE = "rlhf_course_judge"


class Cluster:
    """The workers of a Dask scheduler, to be used in place of a `Pool`."""

    def __init__(self, make_judge: JudgeFactory, address: str) -> None:
        """Connect to the scheduler.

        Args:
            make_judge: A picklable function that each worker calls once.
            address: The scheduler's address, such as tcp://10.0.0.1:8786.

        Raises:
            CourseError: No scheduler answers, it has no workers, or Dask is not installed.
        """
        try:
            from distributed import Client  # Dask is an optional extra.
        except ModuleNotFoundError as error:
            raise missing_extra("--scheduler", "grading-at-scale") from error

        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._make_judge = make_judge
        try:
            self._client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CourseError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
        except TimeoutError as error:
            self._client.close()
            raise CourseError(
                f"the Dask scheduler at {address} has no workers: start some with `dask worker`"
            ) from error

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def results(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Grade numbered submissions; see `Pool.results`. If a worker is lost, another one grades its submissions."""
        from distributed import as_completed

        pending: dict[Any, Task] = {}
        failed: list[Task] = []
        futures = as_completed(loop=self._client.loop)
        for _ in range(_TASKS_PER_THREAD * max(1, sum(self._client.nthreads().values()))):
            self._submit_next(tasks, pending, futures)
        for future in futures:
            task = pending.pop(future)
            error = future.exception()
            if error is None:
                yield task, future.result(), True
            elif isinstance(error, CourseError):
                raise error
            else:
                failed.append(task)
            self._submit_next(tasks, pending, futures)
        for task in failed:
            yield self._retry(task)

    def _submit_next(self, tasks: Iterator[Task], pending: dict[Any, Task], futures: Any) -> None:
        task = next(tasks, None)
        if task is not None:
            future = self._submit(task)
            pending[future] = task
            futures.add(future)

    def _submit(self, task: Task) -> Any:
        return self._client.submit(grade_on_worker, grading_version(), self._make_judge, task[1], pure=False)

    def _retry(self, task: Task) -> Outcome:
        """Grade a task again while no other task runs, so that no other task can make it fail."""
        future = self._submit(task)
        error = future.exception()
        if isinstance(error, CourseError):
            raise error
        if error is not None:
            reason = f"grading it failed on the cluster, twice: {type(error).__name__}"
            return task, ungraded_result(task[1], reason), False
        return task, future.result(), True


class WorkerJudge:
    """The judge of one Dask worker; it is replaced when a submission needs a judge with another configuration."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._factory = b""
        self._context: AbstractContextManager[SubmissionJudge] | None = None
        self._judge: SubmissionJudge | None = None

    def grade(self, make_judge: JudgeFactory, submission: Submission) -> SubmissionResult:
        """Grade a submission, one at a time, with the judge that the factory makes.

        Raises:
            CourseError: The judge cannot be made.
        """
        with self._lock:
            return self._judge_of(make_judge).grade(submission)

    def _judge_of(self, make_judge: JudgeFactory) -> SubmissionJudge:
        factory = pickle.dumps(make_judge)
        if self._judge is None or factory != self._factory:
            self._close()
            try:
                context = make_judge()
                self._judge = context.__enter__()
            except CourseError as error:  # An error of plain text can be pickled and reaches the client.
                raise CourseError(str(error)) from None
            self._context, self._factory = context, factory
        return self._judge

    def _close(self) -> None:
        context, self._context, self._judge = self._context, None, None
        if context is not None:
            context.__exit__(None, None, None)


def grade_on_worker(version: str, make_judge: JudgeFactory, submission: Submission) -> SubmissionResult:
    """Grade a submission with the judge of the Dask worker that runs this function.

    Raises:
        CourseError: The worker has another version of the course than the client, so that its marks could differ.
    """
    if version != grading_version():
        raise CourseError(
            "a worker of the cluster has another version of the course or its libraries: install the same one there"
        )
    from distributed import get_worker

    # `setdefault` is atomic, so the threads of a worker share one judge.
    judge: WorkerJudge = vars(get_worker()).setdefault(_JUDGE_ATTRIBUTE, WorkerJudge())
    return judge.grade(make_judge, submission)
