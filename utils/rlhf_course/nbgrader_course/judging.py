"""Judge the submitted folders of an nbgrader assignment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Any

from nbgrader.utils import setenv

from rlhf_course.course import DEFAULT_PART, Part
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.sandbox.isolation import Level
from rlhf_course.grading.submissions.submission import Submission


@dataclass(frozen=True)
class Settings:
    """The settings of judging.

    Attributes:
        cache: The folder of the result cache.
        secret_file: The course's secret, which is created if it does not exist.
        isolation: The isolation level of learners' code.
        workers: The number of submissions that are judged at the same time; None for one on each core.
        limits: What each answer may use.
        scheduler: The address of a Dask scheduler, to judge on its cluster; None for this machine.
    """

    cache: Path
    secret_file: Path
    isolation: Level = "namespaces"
    workers: int | None = None
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    scheduler: str | None = None


@dataclass(frozen=True)
class Judgement:
    """The judge's result of a submission, or the reason why there is none.

    Attributes:
        result: The result; None if the submission was not judged.
        reason: Why the submission was not judged, for the learner and the instructor; empty if it was.
        answers: The texts that were judged, by path.
    """

    result: SubmissionResult | None
    reason: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """The warnings about the submission, or the reason why it was not judged."""
        return list(self.result.warnings) if self.result is not None else [self.reason]


def judge_folders(
    folders: Mapping[str, Path], settings: Settings, log: Logger, parts: Sequence[Part] = (DEFAULT_PART,)
) -> dict[str, Judgement]:
    """Judge submissions.

    Args:
        folders: The folder of each submission, by any key.
        settings: The settings of judging.
        log: The logger for progress messages.
        parts: The parts of the course to judge.

    Returns:
        The judgement of each submission, by the same key.

    Raises:
        CourseError: The judge cannot run on this machine.
    """
    from rlhf_course.grading.batch.cache import ResultCache
    from rlhf_course.grading.batch.grade_all import grade_all
    from rlhf_course.grading.batch.progress import LogLines
    from rlhf_course.grading.judge.judge import Judge
    from rlhf_course.grading.sandbox.isolation import require_hidden
    from rlhf_course.grading.secret import read_or_create_secret
    from rlhf_course.grading.submissions.parse_submission import SubmissionPath
    from rlhf_course.grading.submissions.reader import SubmissionReader

    if not folders:
        return {}
    secret = read_or_create_secret(settings.secret_file)
    require_hidden(settings.isolation, [settings.secret_file])
    limits = settings.limits
    answers: list[Mapping[str, str]] = []
    progress = LogLines(len(folders), log.info, log.warning)
    progress.start(f"isolation {settings.isolation}, secret {secret.fingerprint}")
    # Each judge has one thread, since the judges share the cores, and since sums depend on the number of threads.
    with (
        setenv(OMP_NUM_THREADS="1"),
        SubmissionReader() as reader,
        _grader(
            partial(Judge, isolation=settings.isolation, limits=limits, secret=secret), settings, len(folders)
        ) as grader,
    ):
        recording = _RecordingGrader(grader)
        grader.on_wait = progress.wait  # A cluster does not call it.

        def read() -> Iterator[Submission]:
            for folder in folders.values():
                answers.append((submission := reader.read(SubmissionPath(str(folder), folder), parts)).files)
                progress.read(submission)
                yield submission

        cache = ResultCache(settings.cache, settings.isolation, limits, secret)
        results = grade_all(read(), recording, cache, progress.judged)
        progress.end()
    return {
        key: Judgement(None, recording.failures[number], answers[number])
        if number in recording.failures
        else Judgement(result, answers=answers[number])
        for number, (key, result) in enumerate(zip(folders, results, strict=True))
    }


def _grader(make_judge: Any, settings: Settings, submission_count: int) -> Any:
    """Return the grader: a Dask cluster, or a pool of processes on this machine."""
    from rlhf_course.grading.batch.cluster import Cluster
    from rlhf_course.grading.batch.pool import Pool, available_cores
    from rlhf_course.grading.sandbox.isolation import require_isolation

    if settings.scheduler is not None:
        return Cluster(make_judge, settings.scheduler)
    require_isolation(settings.isolation)
    return Pool(make_judge, min(submission_count, settings.workers or available_cores()))


class _RecordingGrader:
    """A grader that records which submissions could not be judged, and why."""

    def __init__(self, grader: Any) -> None:
        self._grader = grader
        self.failures: dict[int, str] = {}

    def results(self, tasks: Iterator[Any]) -> Iterator[tuple[Any, SubmissionResult, bool]]:
        """See `rlhf_course.grading.batch.grade_all.Grader`."""
        for task, result, is_judged in self._grader.results(tasks):
            if not is_judged:
                self.failures[task[0]] = result.warnings[-1]
            yield task, result, is_judged
