"""Grade in worker processes of this machine, each with a judge of its own.

Each worker receives submissions through a pipe. A cluster on this machine would listen on a port instead, which a
learner's code could reach at an isolation level that does not isolate the network.
"""

import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol

from rlhf_course.errors import CourseError
from rlhf_course.grading.results import ExerciseResult, SubmissionResult, TestResult
from rlhf_course.grading.sandbox.zygote_client import ALLOCATOR
from rlhf_course.grading.submissions.submission import Submission

Task = tuple[int, Submission]
"""A submission and its number in the class."""

Outcome = tuple[Task, SubmissionResult, bool]
"""A task, its result, and whether the task was graded rather than given up."""

_START_TIMEOUT = 300
_EXIT_TIMEOUT = 10
_POLL_INTERVAL = 1
_JUDGE_DIED = "grading it ended the judge's process"


class SubmissionJudge(Protocol):
    """Grades one submission at a time."""

    def grade(self, submission: Submission) -> SubmissionResult:
        """Return the result of a submission."""


JudgeFactory = Callable[[], AbstractContextManager[SubmissionJudge]]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ungraded_result(submission: Submission, reason: str) -> SubmissionResult:
    """Return the result of a submission that cannot be graded: no points, and the reason as message and warning."""
    exercises = {}
    for exercise in submission.exercises:
        test = TestResult(name="is judged", points=exercise.points, status="error", message=reason)
        exercises[exercise.name] = ExerciseResult(score=0, max_score=exercise.points, status="error", tests=[test])
    max_score = sum(exercise.points for exercise in submission.exercises)
    warnings = [*submission.warnings, f"not judged: {reason}"]
    return SubmissionResult(
        name=submission.name, score=0, max_score=max_score, seconds=0, warnings=warnings, exercises=exercises
    )


class Pool:
    """Worker processes that grade; a worker that dies or does not reply is replaced.

    Use it as a context manager, which ends all workers.

    Attributes:
        on_wait: A function that is called about once a second while workers are busy.
    """

    def __init__(self, make_judge: JudgeFactory, workers: int, task_timeout: float = 1800) -> None:
        """Configure the pool; workers start with the first submissions.

        Args:
            make_judge: A picklable function that each worker calls once.
            workers: The largest number of workers.
            task_timeout: Seconds after which a worker that has not replied is killed.
        """
        self._make_judge, self._max_workers, self._task_timeout = make_judge, workers, task_timeout
        self._workers: list[_Worker] = []
        self.on_wait: Callable[[], None] = lambda: None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.stop(kill=kind is not None)

    def results(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Grade numbered submissions.

        Yields:
            Each task, its result, and whether it was graded rather than given up after two failures.

        Raises:
            CourseError: The judge cannot be started.
        """
        while True:
            self._assign(tasks)
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            sentinels = [worker.process.sentinel for worker in busy]
            wait([*(worker.pipe for worker in busy), *sentinels], timeout=_POLL_INTERVAL)
            self.on_wait()
            for worker in busy:
                if (outcome := worker.outcome()) is not None:
                    yield outcome

    def _assign(self, tasks: Iterator[Task]) -> None:
        """Give each idle worker a task, and start new workers as long as there are tasks."""
        for index in range(self._max_workers):
            if index < len(self._workers) and self._workers[index].task is not None:
                continue
            task = next(tasks, None)
            if task is None:
                return
            if index == len(self._workers):
                self._workers.append(_Worker(self._make_judge, self._task_timeout))
            self._workers[index].assign(task)


class _Worker:
    """One process with its judge, and the task that it works on."""

    def __init__(self, make_judge: JudgeFactory, task_timeout: float) -> None:
        self._make_judge, self._task_timeout = make_judge, task_timeout
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        # A forked process would inherit locks that other threads of this process hold; a spawned process does not.
        context = multiprocessing.get_context("spawn")
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_run_worker, args=(worker_end, pickle.dumps(self._make_judge)))
        with _worker_environment():
            self.process.start()
        worker_end.close()
        self._is_ready = False

    def assign(self, task: Task) -> None:
        """Start to work on a task."""
        self.task, self._tries = task, 0
        self._send(task)

    def _send(self, task: Task) -> None:
        self._tries += 1
        self._sent_at = time.monotonic()
        with suppress(OSError):  # If the idle worker has died, `outcome` notices it.
            self.pipe.send(task[1])

    def outcome(self) -> Outcome | None:
        """Return the outcome of the task; None while there is none.

        A worker that has died or does not reply is replaced, and its task is tried once more.

        Raises:
            CourseError: The judge cannot be started.
        """
        try:
            if self.pipe.poll():
                return self._handle_message(*self.pipe.recv())
            timeout = self._task_timeout if self._is_ready else _START_TIMEOUT
            is_alive = self.process.is_alive()
            if is_alive and time.monotonic() - self._sent_at < timeout:
                return None
            reason = f"grading it took longer than {timeout:g} seconds" if is_alive else _JUDGE_DIED
        except (EOFError, OSError):
            reason = _JUDGE_DIED
        self.stop(kill=True)
        if not self._is_ready:
            raise CourseError(f"a judge's process ended as it started (exit code {self.process.exitcode})")
        self._start()
        return self._retry_or_give_up(reason)

    def _handle_message(self, kind: str, content: Any) -> Outcome | None:
        if kind == "ready":
            self._is_ready, self._sent_at = True, time.monotonic()
            return None
        if kind == "refused":
            raise CourseError(content)
        if kind == "failed":
            return self._retry_or_give_up(f"the judge failed: {content}")
        return self._finish_task(), content, True

    def _retry_or_give_up(self, reason: str) -> Outcome | None:
        task = self._finish_task()
        if self._tries == 1:
            self.task = task
            self._send(task)
            return None
        return task, ungraded_result(task[1], f"{reason}, twice"), False

    def _finish_task(self) -> Task:
        task, self.task = self.task, None
        assert task is not None, "only a worker with a task has an outcome"
        return task

    def stop(self, kill: bool) -> None:
        """End the process.

        Args:
            kill: Whether to kill it at once, rather than wait until it has closed its judge.
        """
        self.pipe.close()
        if not kill:
            self.process.join(_EXIT_TIMEOUT)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Set the environment that workers inherit when they are started in the block, and let them ignore SIGINT.

    Each core runs one worker, and with one thread sums do not depend on the number of cores. Ctrl-C reaches the whole
    process group; workers ignore it, because the pool decides when they stop.
    """
    changed = {"OMP_NUM_THREADS": "1", **ALLOCATOR}
    before = {name: os.environ[name] for name in changed if name in os.environ}
    os.environ.update(changed)
    may_set_handlers = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if may_set_handlers else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name in changed:
            del os.environ[name]
        os.environ.update(before)


def _run_worker(pipe: Connection, pickled_make_judge: bytes) -> None:
    """Make a judge, and grade the submissions that come through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # Collections would visit each of the objects that a judge loads several times.
    make_judge: JudgeFactory = pickle.loads(pickled_make_judge)  # This imports the judge's module.
    try:
        with make_judge() as judge:
            gc.freeze()
            gc.enable()
            pipe.send(("ready", None))
            while True:
                pipe.send(_grade(judge, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except CourseError as error:
        pipe.send(("refused", str(error)))


def _grade(judge: SubmissionJudge, submission: Submission) -> tuple[str, Any]:
    try:
        return "result", judge.grade(submission)
    except CourseError:
        raise
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
