"""A class before nbgrader sees it: judged in several processes, results kept, and what is lost named."""

import logging

import pytest
from obedient_judge import ObedientJudge

from rlhf_course.errors import CourseError
from rlhf_course.nbgrader_course.judging import Settings, judge_folders

LOG = logging.getLogger("test")


@pytest.fixture(autouse=True)
def obedient(monkeypatch):
    monkeypatch.setattr("rlhf_course.grading.judge.judge.Judge", ObedientJudge)
    monkeypatch.setattr("rlhf_course.grading.sandbox.isolation.require_isolation", lambda level: None)


@pytest.fixture
def hand_in_files(tmp_path):
    def hand_in(learner: str, **files: str):
        folder = tmp_path / "submitted" / learner / "part1_rlhf"
        (folder / "part1_rlhf").mkdir(parents=True)
        for name, text in files.items():
            (folder / "part1_rlhf" / f"{name}.py").write_text(text)
        return folder

    return hand_in


def test_a_submission_that_ends_the_judge_is_named_and_the_others_are_judged(tmp_path, hand_in_files):
    folders = {
        name: hand_in_files(name, get_optimizer=f"x = '{name}'", order=order)
        for name, order in (("ada", "go"), ("eve", "die"), ("ben", "go"))
    }
    judged = judge_folders(folders, Settings(tmp_path / "cache", tmp_path / "secret", "unsafe", workers=2), LOG)
    assert {name: judgement.result is not None for name, judgement in judged.items()} == {
        "ada": True,
        "eve": False,
        "ben": True,
    }
    assert "ended the judge's process" in judged["eve"].reason and judged["eve"].notes == [judged["eve"].reason]


def test_results_are_kept_for_the_next_time(tmp_path, hand_in_files, monkeypatch):
    folders = {"ada": hand_in_files("ada", get_optimizer="x = 1")}
    settings = Settings(tmp_path / "cache", tmp_path / "secret", "unsafe", workers=1)
    first = judge_folders(folders, settings, LOG)
    monkeypatch.setattr(
        "rlhf_course.grading.batch.pool.Pool.results",
        lambda self, tasks: pytest.fail("judged again") if list(tasks) else iter(()),
    )
    assert judge_folders(folders, settings, LOG) == first


def test_an_isolation_that_cannot_be_had_is_an_error_and_no_result(tmp_path, hand_in_files):
    with pytest.raises(CourseError, match="no such isolation"):
        judge_folders(
            {"ada": hand_in_files("ada", get_optimizer="x = 1")},
            Settings(tmp_path / "cache", tmp_path / "secret", "uid", workers=1),
            LOG,
        )


def test_nobody_to_judge_starts_nothing(tmp_path):
    assert judge_folders({}, Settings(tmp_path / "cache", tmp_path / "secret", "unsafe"), LOG) == {}


def test_a_scheduler_judges_in_place_of_this_machine(tmp_path, hand_in_files, monkeypatch):
    asked = []

    class FakeCluster:
        def __init__(self, make_judge, address):
            asked.append(address)
            self.judge = make_judge()

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def results(self, tasks):
            for task in tasks:
                yield task, self.judge.grade(task[1]), True

    monkeypatch.setattr("rlhf_course.grading.batch.cluster.Cluster", FakeCluster)
    settings = Settings(tmp_path / "cache", tmp_path / "secret", "namespaces", scheduler="tcp://10.0.0.1:8786")
    judged = judge_folders({"ada": hand_in_files("ada", get_optimizer="x = 1")}, settings, LOG)
    assert asked == ["tcp://10.0.0.1:8786"] and judged["ada"].result is not None
