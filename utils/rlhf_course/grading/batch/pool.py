"""Grading in worker processes of this machine, each with a judge of its own.

A process of its own for each judge, fed by a pipe, rather than a cluster on this machine: a cluster listens on a port, which
a learner's code could reach where isolation leaves it the network.
"""

import multiprocessing
import os
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
from rlhf_course.grading.submissions.submission import Submission

Task = tuple[int, Submission]
_STARTS_WITHIN = 300


class AnyJudge(Protocol):
    """What grades one submission at a time."""

    def grade(self, submission: Submission) -> SubmissionResult:
        """One submission's result."""


JudgeFactory = Callable[[], AbstractContextManager[AnyJudge]]


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lost(submission: Submission, reason: str) -> SubmissionResult:
    """The result of a submission that cannot be judged: no points, and the reason."""
    exercises = {}
    for exercise in submission.exercises:
        test = TestResult(name="is judged", points=exercise.points, status="error", message=reason)
        exercises[exercise.name] = ExerciseResult(score=0, max_score=exercise.points, status="error", tests=[test])
    most = sum(exercise.points for exercise in submission.exercises)
    warnings = [*submission.warnings, f"not judged: {reason}"]
    return SubmissionResult(
        name=submission.name, score=0, max_score=most, seconds=0, warnings=warnings, exercises=exercises
    )


class Pool:
    """Worker processes that grade; one that dies or falls silent is replaced.

    Use it as a context manager: at its end no worker is left.
    """

    def __init__(self, make_judge: JudgeFactory, workers: int, patience: float = 1800) -> None:
        """Say how to grade; workers start with the first submission.

        Args:
            make_judge: called once in each worker; has to be picklable.
            workers: how many grade at once.
            patience: seconds after which a worker that has not answered is taken for dead.
        """
        self._make_judge, self._most, self._patience = make_judge, workers, patience
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end(at_once=kind is not None)

    def results(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, SubmissionResult, bool]]:
        """Grade numbered submissions.

        Returns: task, result, and whether it was judged (rather than lost, after ending its worker twice), as they come.

        Raises:
            CourseError: the judge cannot be made.
        """
        while True:
            self._hand_out(tasks)
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            wait([worker.pipe for worker in busy] + [worker.process.sentinel for worker in busy], timeout=1)
            for worker in busy:
                if (outcome := worker.outcome()) is not None:
                    yield outcome

    def _hand_out(self, tasks: Iterator[Task]) -> None:
        """Give each worker that has none a task, as long as there are any."""
        for position in range(self._most):
            if position < len(self._workers) and self._workers[position].task is not None:
                continue
            task = next(tasks, None)
            if task is None:
                return
            if position == len(self._workers):
                self._workers.append(_Worker(self._make_judge, self._patience))
            self._workers[position].give(task)


class _Worker:
    """One process with its judge, and what it is doing."""

    def __init__(self, make_judge: JudgeFactory, patience: float) -> None:
        self._make_judge, self._patience = make_judge, patience
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        # A forked process would share this one's threads and locks; a spawned one starts clean.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self._make_judge))
        with _for_a_worker():
            self.process.start()
        theirs.close()
        self._is_ready = False

    def give(self, task: Task) -> None:
        self.task, self._tries = task, 0
        self._try()

    def _try(self) -> None:
        self._tries += 1
        self._began = time.monotonic()
        with suppress(OSError):  # a worker that died while it waited is found when its answer is asked for
            self.pipe.send(self.task[1])

    def outcome(self) -> tuple[Task, SubmissionResult, bool] | None:
        """What came of the task; None while that is open. A worker that is gone is replaced, and the task tried again once."""
        try:
            if self.pipe.poll():
                return self._heard(*self.pipe.recv())
            if self.process.is_alive() and time.monotonic() - self._began < (
                self._patience if self._is_ready else _STARTS_WITHIN
            ):
                return None
            reason = (
                "grading it ended the judge's process"
                if not self.process.is_alive()
                else "grading it never came to an end"
            )
        except (EOFError, OSError):
            reason = "grading it ended the judge's process"
        if not self._is_ready:
            self.end(at_once=True)
            raise CourseError(f"a judge's process ended as it started (exit code {self.process.exitcode})")
        self.end(at_once=True)
        self._start()
        return self._again(reason)

    def _heard(self, kind: str, what: Any) -> tuple[Task, SubmissionResult, bool] | None:
        if kind == "ready":
            self._is_ready, self._began = True, time.monotonic()
            return None
        if kind == "refused":
            raise CourseError(what)
        if kind == "failed":
            return self._again(f"the judge failed: {what}")
        task, self.task = self.task, None
        return task, what, True

    def _again(self, reason: str) -> tuple[Task, SubmissionResult, bool] | None:
        if self._tries == 1:
            self._try()
            return None
        task, self.task = self.task, None
        return task, lost(task[1], f"{reason}, twice"), False

    def end(self, at_once: bool) -> None:
        """End the process; it closes its judge unless it is to end at once."""
        self.pipe.close()
        if not at_once:
            self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


@contextmanager
def _for_a_worker() -> Iterator[None]:
    """What a process that starts meanwhile inherits.

    One thread to compute in, since the cores are for the workers and sums then come out the same; and no ear for Ctrl-C, which
    reaches the whole group: the pool decides what ends.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    may_set_handlers = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if may_set_handlers else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _serve(pipe: Connection, make_judge: JudgeFactory) -> None:
    """A worker's life: make a judge, then grade what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with make_judge() as judge:
            pipe.send(("ready", None))
            while True:
                pipe.send(_graded(judge, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except CourseError as error:
        pipe.send(("refused", str(error)))


def _graded(judge: AnyJudge, submission: Submission) -> tuple[str, Any]:
    try:
        return "result", judge.grade(submission)
    except CourseError:
        raise
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
