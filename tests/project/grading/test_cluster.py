"""Grading on a Dask cluster: the same results as in this machine's own workers, whatever befalls the cluster's."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from fake_judge import FakeJudge

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch import cluster
from rlhf_course.grading.batch.cache import grading_version
from rlhf_course.grading.batch.cluster import Cluster, grade_here
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import Pool
from rlhf_course.grading.submissions.submission import Submission

MAKE = partial(FakeJudge)


def submissions(count: int, seconds: float = 0.0) -> list[Submission]:
    return [
        Submission(
            f"s{number}", {"part1_rlhf/get_logprobs.py": "#" * number, "part1_rlhf/order.py": f"sleep {seconds}"}
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def dask():
    """A cluster of two worker processes on this machine; each is started again when it dies."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp") as one:
            yield one


def pids(dask) -> list[int]:
    from distributed import Client

    with Client(dask.scheduler_address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


@pytest.mark.slow
def test_a_cluster_gives_what_a_pool_gives_though_one_of_its_workers_is_killed_half_way(dask):
    class_of = submissions(100, 0.02)
    victim = pids(dask)[0]
    seen: list[str] = []

    def kill_half_way(result):
        seen.append(result.name)
        if len(seen) == 50:
            os.kill(victim, signal.SIGKILL)

    with Cluster(MAKE, dask.scheduler_address) as grader:
        results = grade_all(class_of, grader, None, kill_half_way)
    with Pool(MAKE, 2) as pool:
        assert results == grade_all(class_of, pool, None)
    assert victim not in pids(dask)


@pytest.mark.slow
def test_a_submission_that_kills_every_worker_it_meets_is_an_error_and_the_others_are_graded(dask):
    class_of = [*submissions(4), Submission("bad", {"part1_rlhf/order.py": "die"}), *submissions(4)]
    with Cluster(MAKE, dask.scheduler_address) as grader:
        results = grade_all(class_of, grader, None)
    assert [result.score for result in results] == [0, 1, 2, 3, 0, 0, 1, 2, 3]
    assert results[4].exercises["get_logprobs"].status == "error" and "KilledWorker" in results[4].warnings[-1]


@pytest.mark.slow
def test_a_judge_that_the_cluster_cannot_make_ends_the_grading_with_its_reason(dask):
    with (
        pytest.raises(CourseError, match="no isolation here"),
        Cluster(partial(FakeJudge, None, True), dask.scheduler_address) as grader,
    ):
        grade_all(submissions(3), grader, None)


def test_an_address_where_nobody_answers_is_bad_usage(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    with pytest.raises(CourseError, match="no Dask scheduler answers at tcp://127.0.0.1:1"):
        Cluster(MAKE, "tcp://127.0.0.1:1")
    with pytest.raises(CourseError, match="no Dask scheduler answers"):
        Cluster(MAKE, "nonsense://x")


def test_a_worker_with_another_version_of_the_course_grades_nothing():
    with pytest.raises(CourseError, match="another version"):
        grade_here("old", MAKE, submissions(1)[0])


def test_a_worker_makes_one_judge_for_all_that_it_is_given_and_a_new_one_for_other_limits(tmp_path):
    one, other = partial(FakeJudge, tmp_path / "one"), partial(FakeJudge, tmp_path / "other")
    for make in (one, one, other):
        grade_here(grading_version(), make, submissions(1)[0])
    assert (tmp_path / "one").read_text().split() == ["s0", "s0", "end"]
    assert (tmp_path / "other").read_text().split() == ["s0"]
