"""Choose the grader of a class, grade with it, and show the progress."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from rlhf_course.course import DEFAULT_PART, Part
from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import JudgeFactory, Pool, available_cores
from rlhf_course.grading.batch.progress import show_progress
from rlhf_course.grading.comments.groups import Examples
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.sandbox.isolation import Level, require_isolation
from rlhf_course.grading.secret import PUBLIC, Secret
from rlhf_course.grading.submissions.parse_submission import SubmissionPath
from rlhf_course.grading.submissions.reader import SubmissionReader
from rlhf_course.grading.submissions.submission import Submission

if TYPE_CHECKING:
    from rlhf_course.grading.batch.cluster import Cluster
    from rlhf_course.grading.judge.judge import Judge

_EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class GradingConfig:
    """The settings of grading.

    Attributes:
        isolation: The isolation level.
        limits: The resource limits of each answer.
        workers: The largest number of worker processes; None for one worker on each core.
        scheduler: The address of a Dask scheduler, to grade on its cluster; None for this machine.
        secret: The course's secret, from which hidden tests draw their inputs.
    """

    isolation: Level
    limits: ResourceLimits
    workers: int | None = None
    scheduler: str | None = None
    secret: Secret = PUBLIC

    @property
    def description(self) -> str:
        """The settings in words, for a log."""
        where = f"the cluster {self.scheduler}" if self.scheduler else f"{self.workers or available_cores()} workers"
        return f"isolation {self.isolation}, {where}, secret {self.secret.fingerprint}"

    @contextmanager
    def grader(self, submission_count: int) -> Iterator["Pool | Cluster"]:
        """Connect to the cluster, or start a pool with no more workers than submissions.

        Raises:
            IsolationUnavailable: This machine does not support the isolation level.
        """
        make_judge = _judge_factory(self.isolation, self.limits, self.secret)
        if self.scheduler is not None:
            from rlhf_course.grading.batch.cluster import Cluster

            with Cluster(make_judge, self.scheduler) as cluster:
                yield cluster
            return
        require_isolation(self.isolation)
        with Pool(make_judge, min(submission_count, self.workers or available_cores())) as pool:
            yield pool


def _judge_factory(isolation: Level, limits: ResourceLimits, secret: Secret) -> JudgeFactory:
    return partial(make_judge, isolation, limits, secret)


def make_judge(isolation: Level, limits: ResourceLimits, secret: Secret) -> "Judge":
    """Make a judge; this runs in a worker, so that torch is loaded there and not in the process of the command."""
    from rlhf_course.grading.judge.judge import Judge

    return Judge(isolation, limits, secret)


def grade_with_progress(
    paths: Sequence[SubmissionPath],
    config: GradingConfig,
    cache: ResultCache | None,
    console: Console,
    parts: Sequence[Part] = (DEFAULT_PART,),
    examples: Examples | None = None,
) -> list[SubmissionResult]:
    """Grade submissions and show the progress; Ctrl-C ends grading with a message that says how to continue.

    Args:
        paths: The submissions.
        config: The settings of grading.
        cache: The cache of results; None for no cache.
        console: The console for the progress and the messages.
        parts: The parts to grade.
        examples: Collects the text of one answer of each group that does the same.

    Returns:
        The results in the order of the submissions.

    Raises:
        IsolationUnavailable: This machine does not support the isolation level.
        CourseError: The submissions cannot be graded.
        typer.Exit: The user pressed Ctrl-C.
    """
    other_parts: Counter[str] = Counter()
    progress, is_shown = show_progress(console, len(paths))

    def read(reader: SubmissionReader) -> Iterator[Submission]:
        for path in paths:
            submission = reader.read(path, parts)
            other_parts.update(submission.other_parts)
            progress.read(submission)
            yield submission

    def on_result(submission: Submission, result: SubmissionResult) -> None:
        progress.judged(submission, result)
        if examples is not None:
            examples.add(submission, result)

    try:
        with is_shown:
            progress.start(config.description)
            with SubmissionReader() as reader, config.grader(len(paths)) as grader:
                if isinstance(grader, Pool):
                    grader.on_wait = progress.wait
                results = grade_all(read(reader), grader, cache, on_result)
            progress.end()
    except KeyboardInterrupt:
        message = _interruption_message(progress.done, len(paths), cache)
        console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if other_parts:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(other_parts.items()))
        console.print(f"also handed in, but not graded: {names}; --part names the parts to grade", highlight=False)
    return results


def limits_of(**options: Any) -> ResourceLimits:
    """Return the default limits, with the options that are not None in place of the defaults."""
    return replace(ResourceLimits(), **{name: value for name, value in options.items() if value is not None})


def _interruption_message(graded: int, total: int, cache: ResultCache | None) -> str:
    if cache is None:
        return f"interrupted: {graded} of {total} graded; no result was stored because of --no-cache"
    return (
        f"interrupted: {graded} of {total} graded and stored in {cache.folder}; run the same command again to continue"
    )
