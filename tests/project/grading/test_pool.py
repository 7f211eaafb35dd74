"""The pool gives the same results whatever the number of its workers, and although some of them die."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from fake_judge import INSTRUCTION, FakeJudge, LoggedJudge, cache_in

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.grading.batch.cache import ResultCache
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import Pool
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission


def submission(name: str, instruction: str = "", length: int = 3) -> Submission:
    files = {"part1_rlhf/get_logprobs.py": "#" * length} | ({INSTRUCTION: instruction} if instruction else {})
    return Submission(name, files, (f"a warning of {name}",))


def graded(
    submissions: Sequence[Submission],
    log: Path | None = None,
    workers: int = 2,
    cache: ResultCache | None = None,
    task_timeout: float = 60,
    on_result: Callable[[Submission, SubmissionResult], None] = lambda submission, result: None,
) -> list[SubmissionResult]:
    with Pool(partial(FakeJudge, log), workers, task_timeout) as pool:
        return grade_all(submissions, pool, cache, on_result)


def test_results_keep_the_order_of_the_submissions_whatever_the_number_of_workers():
    submissions = [submission(f"s{number}", "sleep 0.05" if number % 3 == 0 else "", number) for number in range(9)]
    results = graded(submissions, workers=1)
    assert results == graded(submissions, workers=3)
    assert [result.name for result in results] == [f"s{number}" for number in range(9)]
    assert results[0].warnings == ["a warning of s0", "judged by a fake"]


def test_a_submission_whose_worker_dies_once_loses_no_points(tmp_path):
    submissions = [submission("a"), submission("b", f"die_once {tmp_path / 'died'}"), submission("c")]
    results = graded(submissions, tmp_path / "log")
    assert [result.score for result in results] == [3, 3, 3]
    assert (tmp_path / "log").read_text().split().count("b") == 2


@pytest.mark.parametrize(
    ("instruction", "words"),
    [("die", "ended the judge's process"), ("hang", "took longer than"), ("fail", "ZeroDivisionError")],
)
def test_a_submission_that_ends_its_worker_twice_is_an_error_and_the_others_are_graded(instruction, words):
    results = graded([submission("a"), submission("b", instruction), submission("c")], task_timeout=1)
    assert [result.score for result in results] == [3, 0, 3]
    bad = results[1]
    assert bad.max_score == DEFAULT_PART.points and {result.status for result in bad.exercises.values()} == {"error"}
    assert bad.warnings[0] == "a warning of b" and words in bad.warnings[1] and "twice" in bad.warnings[1]


def test_no_worker_outlives_the_pool_and_each_judge_is_closed(tmp_path):
    with Pool(partial(LoggedJudge, tmp_path / "log"), 2) as pool:
        grade_all([submission(name) for name in "abcd"], pool, None)
    assert not multiprocessing.active_children()
    log = (tmp_path / "log").read_text().split()
    assert log.count("start") == log.count("end") == 2


def test_while_a_worker_is_busy_the_pool_calls_on_wait():
    waits: list[None] = []
    with Pool(partial(FakeJudge, None), 1) as pool:
        pool.on_wait = lambda: waits.append(None)
        grade_all([submission("a")], pool, None)
    assert waits


def test_an_error_at_the_start_of_the_judge_ends_grading():
    with pytest.raises(CourseError, match="no isolation here"), Pool(partial(FakeJudge, None, True), 2) as pool:
        grade_all([submission("a")], pool, None)
    assert not multiprocessing.active_children()


def test_an_interruption_leaves_the_results_so_far_in_the_cache_and_ends_the_workers(tmp_path):
    def interrupt(_, result):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(result.name)

    seen: list[str] = []
    submissions = [submission(f"s{number}", "", number) for number in range(12)]
    with pytest.raises(KeyboardInterrupt):
        graded(submissions, tmp_path / "log", cache=cache_in(tmp_path), on_result=interrupt)
    assert not multiprocessing.active_children()
    first = set((tmp_path / "log").read_text().split())
    (tmp_path / "log").unlink()
    results = graded(submissions, tmp_path / "log", cache=cache_in(tmp_path))
    again = set((tmp_path / "log").read_text().split())
    assert results == graded(submissions)
    assert set(seen) <= first and not set(seen) & again, "a cached result is not judged again"


def test_a_submission_that_was_given_up_is_not_cached_and_is_tried_again_the_next_time(tmp_path):
    submissions = [submission("a"), submission("b", "die")]
    graded(submissions, cache=cache_in(tmp_path))
    graded(submissions, tmp_path / "log", cache=cache_in(tmp_path))
    assert [line for line in (tmp_path / "log").read_text().split() if line != "end"] == ["b", "b"]


def test_a_worker_ignores_sigint_and_computes_in_one_thread_and_this_process_keeps_its_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    handler = signal.getsignal(signal.SIGINT)
    (result,) = graded([submission("a", "report_process_state")], workers=1)
    assert result.warnings[-1] == "threads 1, SIGINT ignored"
    assert os.environ["OMP_NUM_THREADS"] == "3" and signal.getsignal(signal.SIGINT) is handler
