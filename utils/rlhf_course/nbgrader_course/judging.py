"""From the folders of submissions to the judge's results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Any, Literal

from nbgrader.utils import setenv

from rlhf_course.grading.results import SubmissionResult


@dataclass(frozen=True)
class Settings:
    """How a class is judged.

    Attributes:
        kept: folder of results by content.
        isolation: how learners' code is locked in.
        workers: submissions at once; None: one for each core.
        timeout: seconds that an exercise may take; None: the judge's own limit.
        scheduler: address of a Dask scheduler; None: this machine.
    """

    kept: Path
    isolation: Literal["namespaces", "uid", "unsafe"] = "namespaces"
    workers: int | None = None
    timeout: float | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class Judgement:
    """What the judge found in a submission.

    Attributes:
        result: None where it was not judged.
        reason: why it was not, for the learner and the instructor.
    """

    result: SubmissionResult | None
    reason: str = ""

    @property
    def notes(self) -> list[str]:
        """What a person should know about how it was handed in."""
        return list(self.result.warnings) if self.result is not None else [self.reason]


def judge_folders(folders: Mapping[str, Path], settings: Settings, log: Logger) -> dict[str, Judgement]:
    """Judge submissions, each as it lies in its folder.

    Returns: a judgement for each key; one that could not be judged has a reason in place of a result.

    Raises:
        CourseError: the judge cannot work on this machine.
    """
    from rlhf_course.grading.batch.cache import ResultCache
    from rlhf_course.grading.batch.grade_all import grade_all
    from rlhf_course.grading.judge.judge import Judge, ResourceLimits
    from rlhf_course.grading.submissions.parse_submission import SubmissionPath, read_submission

    if not folders:
        return {}
    limits = ResourceLimits() if settings.timeout is None else ResourceLimits(timeout=settings.timeout)
    submissions = (read_submission(SubmissionPath(str(folder), folder)) for folder in folders.values())
    log.info("Judging %d submissions", len(folders))
    # One thread each: the cores are for the judges, and sums come out the same whatever their number.
    with (
        setenv(OMP_NUM_THREADS="1"),
        _grader(partial(Judge, isolation=settings.isolation, limits=limits), settings, len(folders)) as grader,
    ):
        noting = _Noting(grader)
        results = grade_all(submissions, noting, ResultCache(settings.kept, settings.isolation, limits))
    return {
        key: Judgement(None, noting.lost[number]) if number in noting.lost else Judgement(result)
        for number, (key, result) in enumerate(zip(folders, results, strict=True))
    }


def _grader(make_judge: Any, settings: Settings, most: int) -> Any:
    """What judges: a Dask cluster, or processes of this machine."""
    from rlhf_course.grading.batch.cluster import Cluster
    from rlhf_course.grading.batch.pool import Pool, available_cores
    from rlhf_course.grading.sandbox.isolation import require_isolation

    if settings.scheduler is not None:
        return Cluster(make_judge, settings.scheduler)
    require_isolation(settings.isolation)
    return Pool(make_judge, min(most, settings.workers or available_cores()))


class _Noting:
    """A grader that remembers what it could not judge, and why."""

    def __init__(self, grader: Any) -> None:
        self._grader = grader
        self.lost: dict[int, str] = {}

    def results(self, tasks: Iterator[Any]) -> Iterator[tuple[Any, SubmissionResult, bool]]:
        """See `rlhf_course.grading.batch.grade_all.Grader`."""
        for task, result, is_judged in self._grader.results(tasks):
            if not is_judged:
                self.lost[task[0]] = result.warnings[-1]
            yield task, result, is_judged
