"""Workers that grade: how many there are, and what befalls them, changes no result."""

import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from fake_judge import CountedJudge, FakeJudge, kept_in

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import Pool
from rlhf_course.grading.submissions.submission import Submission


def submission(name: str, order: str = "", length: int = 3) -> Submission:
    files = {"part1_rlhf/get_logprobs.py": "#" * length} | ({"part1_rlhf/order.py": order} if order else {})
    return Submission(name, files, (f"a warning of {name}",))


def graded(
    submissions,
    log: Path | None = None,
    workers: int = 2,
    kept: ResultCache | None = None,
    patience: float = 60,
    done=lambda result: None,
):
    with Pool(partial(FakeJudge, log), workers, patience) as pool:
        return grade_all(submissions, pool, kept, done)


def test_results_keep_the_order_of_the_submissions_whatever_the_number_of_workers():
    submissions = [submission(f"s{number}", "sleep 0.05" if number % 3 == 0 else "", number) for number in range(9)]
    one, three = graded(submissions, workers=1), graded(submissions, workers=3)
    assert one == three
    assert [result.name for result in one] == [f"s{number}" for number in range(9)]
    assert one[0].warnings == ["a warning of s0", "judged by a fake"]


def test_a_worker_that_dies_once_costs_nobody_a_mark(tmp_path):
    submissions = [submission("a"), submission("b", f"die_once {tmp_path / 'died'}"), submission("c")]
    results = graded(submissions, tmp_path / "log")
    assert [result.score for result in results] == [3, 3, 3]
    assert (tmp_path / "log").read_text().split().count("b") == 2


@pytest.mark.parametrize(
    ("order", "words"),
    [("die", "ended the judge's process"), ("hang", "never came to an end"), ("fail", "ZeroDivisionError")],
)
def test_a_submission_that_brings_its_worker_down_twice_is_an_error_and_the_others_are_graded(order, words):
    results = graded([submission("a"), submission("b", order), submission("c")], patience=1)
    assert [result.score for result in results] == [3, 0, 3]
    bad = results[1]
    assert bad.max_score == DEFAULT_PART.points and {one.status for one in bad.exercises.values()} == {"error"}
    assert bad.warnings[0] == "a warning of b" and words in bad.warnings[1] and "twice" in bad.warnings[1]


def test_no_worker_outlives_the_pool_and_each_judge_is_closed(tmp_path):
    with Pool(partial(CountedJudge, tmp_path / "log"), 2) as pool:
        grade_all([submission(name) for name in "abcd"], pool, None)
    assert not multiprocessing.active_children()
    log = (tmp_path / "log").read_text().split()
    assert log.count("made") == log.count("end") == 2


def test_a_judge_that_cannot_be_made_ends_the_grading_with_its_reason():
    with pytest.raises(CourseError, match="no isolation here"), Pool(partial(FakeJudge, None, True), 2) as pool:
        grade_all([submission("a")], pool, None)
    assert not multiprocessing.active_children()


def test_an_interruption_keeps_what_is_done_and_ends_the_workers(tmp_path):
    def interrupt(result):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(result.name)

    seen: list[str] = []
    submissions = [submission(f"s{number}", "", number) for number in range(12)]
    with pytest.raises(KeyboardInterrupt):
        graded(submissions, tmp_path / "log", kept=kept_in(tmp_path), done=interrupt)
    assert not multiprocessing.active_children()
    first = set((tmp_path / "log").read_text().split())
    (tmp_path / "log").unlink()
    results = graded(submissions, tmp_path / "log", kept=kept_in(tmp_path))
    again = set((tmp_path / "log").read_text().split())
    assert results == graded(submissions)
    assert set(seen) <= first and not set(seen) & again, "what was kept is not judged again"


def test_what_was_lost_is_tried_again_the_next_time(tmp_path):
    submissions = [submission("a"), submission("b", "die")]
    graded(submissions, kept=kept_in(tmp_path))
    graded(submissions, tmp_path / "log", kept=kept_in(tmp_path))
    assert [line for line in (tmp_path / "log").read_text().split() if line != "end"] == ["b", "b"]


def test_a_worker_hears_no_ctrl_c_and_computes_in_one_thread_and_this_process_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    handler = signal.getsignal(signal.SIGINT)
    (result,) = graded([submission("a", "tell")], workers=1)
    assert result.warnings[-1] == "threads 1, interrupts ignored"
    assert os.environ["OMP_NUM_THREADS"] == "3" and signal.getsignal(signal.SIGINT) is handler
