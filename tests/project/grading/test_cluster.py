"""A Dask cluster gives the same results as a pool, although some of its workers die."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from fake_judge import INSTRUCTION, FakeJudge

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch import cluster as cluster_module
from rlhf_course.grading.batch.cluster import Cluster, WorkerJudge, grade_on_worker
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import Pool
from rlhf_course.grading.submissions.submission import Submission

MAKE_JUDGE = partial(FakeJudge)


def submissions(count: int, seconds: float = 0.0) -> list[Submission]:
    return [
        Submission(f"s{number}", {"part1_rlhf/get_logprobs.py": "#" * number, INSTRUCTION: f"sleep {seconds}"})
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def dask():
    """A cluster of two worker processes on this machine; each is started again when it dies."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp"
        ) as cluster:
            yield cluster


def pids(dask) -> list[int]:
    from distributed import Client

    with Client(dask.scheduler_address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


@pytest.mark.slow
def test_a_cluster_gives_the_results_of_a_pool_although_one_of_its_workers_is_killed_half_way(dask):
    many = submissions(100, 0.02)
    victim = pids(dask)[0]
    seen: list[str] = []

    def kill_half_way(_, result):
        seen.append(result.name)
        if len(seen) == 50:
            os.kill(victim, signal.SIGKILL)

    with Cluster(MAKE_JUDGE, dask.scheduler_address) as grader:
        results = grade_all(many, grader, None, kill_half_way)
    with Pool(MAKE_JUDGE, 2) as pool:
        assert results == grade_all(many, pool, None)
    assert victim not in pids(dask)


@pytest.mark.slow
def test_a_submission_that_kills_every_worker_is_an_error_and_the_others_are_graded(dask):
    many = [*submissions(4), Submission("bad", {INSTRUCTION: "die"}), *submissions(4)]
    with Cluster(MAKE_JUDGE, dask.scheduler_address) as grader:
        results = grade_all(many, grader, None)
    assert [result.score for result in results] == [0, 1, 2, 3, 0, 0, 1, 2, 3]
    assert results[4].exercises["get_logprobs"].status == "error" and "KilledWorker" in results[4].warnings[-1]


@pytest.mark.slow
def test_an_error_at_the_start_of_the_judge_ends_grading(dask):
    with (
        pytest.raises(CourseError, match="no isolation here"),
        Cluster(partial(FakeJudge, None, True), dask.scheduler_address) as grader,
    ):
        grade_all(submissions(3), grader, None)


def test_an_address_without_a_scheduler_is_an_error(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT", 0.5)
    with pytest.raises(CourseError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        Cluster(MAKE_JUDGE, "tcp://127.0.0.1:1")
    with pytest.raises(CourseError, match="no Dask scheduler answers"):
        Cluster(MAKE_JUDGE, "nonsense://x")


def test_a_worker_with_another_version_of_the_course_grades_nothing():
    with pytest.raises(CourseError, match="another version"):
        grade_on_worker("old", MAKE_JUDGE, submissions(1)[0])


def test_a_worker_makes_one_judge_for_one_configuration_and_replaces_it_for_another(tmp_path):
    judge = WorkerJudge()
    for name in ("first", "first", "second"):
        judge.grade(partial(FakeJudge, tmp_path / name), submissions(1)[0])
    assert (tmp_path / "first").read_text().split() == ["s0", "s0", "end"]
    assert (tmp_path / "second").read_text().split() == ["s0"]


def test_a_worker_tries_again_to_make_a_judge_after_an_error(tmp_path):
    judge = WorkerJudge()
    with pytest.raises(CourseError, match="no isolation here"):
        judge.grade(partial(FakeJudge, None, True), submissions(1)[0])
    assert judge.grade(MAKE_JUDGE, submissions(1)[0]).name == "s0"
