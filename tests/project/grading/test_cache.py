"""The result cache finds a result by the content that was graded, and only under the same conditions."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fake_judge import FakeJudge, cache_in

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch import cache as cache_module
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY

ADA = Submission(
    "ada", {"part1_rlhf/get_logprobs.py": "x = 1\n", "part1_rlhf/trainer.py": "y = 2\n"}, ("a note on ada",)
)
RESULT = FakeJudge().grade(ADA)


@pytest.fixture
def cache(tmp_path):
    """A cache that holds the result of one submission."""
    cache = cache_in(tmp_path)
    cache.put(ADA, RESULT)
    return cache


def test_a_stored_result_is_found_by_another_cache_object_in_the_same_folder(tmp_path, cache):
    assert cache_in(tmp_path).get(ADA) == RESULT


def test_a_result_is_found_by_its_answers_and_gets_the_name_and_warnings_of_the_submission(cache):
    bob = Submission("bob", dict(reversed(ADA.files.items())), ())
    assert cache.get(bob) == RESULT.model_copy(update={"name": "bob", "warnings": ["judged by a fake"]})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"part1_rlhf/get_logprobs.py": "x = 1\n"},
        {**ADA.files, "part1_rlhf/trainer.py": "y = 3\n"},
        {**ADA.files, "part1_rlhf/more.py": ""},
    ],
)
def test_other_answers_have_no_stored_result(cache, files):
    assert cache.get(replace(ADA, files=files)) is None


def test_under_other_limits_isolation_or_judge_there_is_no_stored_result(tmp_path, cache, monkeypatch):
    assert cache_in(tmp_path, ResourceLimits(timeout=2.0)).get(ADA) is None
    assert cache_in(tmp_path, isolation="uid").get(ADA) is None
    monkeypatch.setattr(cache_module, "grading_version", lambda: "another")
    assert cache_in(tmp_path).get(ADA) is None


@pytest.mark.parametrize(
    "name",
    ["tests/hidden/test_get_logprobs.py", "solutions/part1_rlhf/trainer.py", "grading/judge.py", "rl/memory.py"],
)
def test_a_change_of_the_suite_the_reference_or_the_judge_changes_the_version(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("x = 1\n")
    monkeypatch.setattr(cache_module, "_FINGERPRINTED", (tmp_path,))
    before = cache_module.grading_version.__wrapped__()
    assert before == cache_module.grading_version.__wrapped__()
    path.write_text("x = 2\n")
    assert cache_module.grading_version.__wrapped__() != before


def test_the_version_covers_the_hidden_suite_the_solutions_and_the_judge():
    names = {str(path.relative_to(REPOSITORY)) for path in cache_module._fingerprinted_files()}
    assert {
        "solutions/part1_rlhf/trainer.py",
        "utils/rlhf_course/rl/trainer.py",
        "utils/rlhf_course/course.py",
        "utils/rlhf_course/grading/judge/rollout.npz",
    } <= names
    assert (
        any(name.startswith("tests/hidden/") for name in names)
        and "utils/rlhf_course/grading/batch/grade_all.py" in names
    )


@pytest.mark.parametrize("damage", [b"", b"{", b'{"name": 1}', b"\xff\xfe"])
def test_a_damaged_result_is_not_returned_and_can_be_replaced(tmp_path, cache, damage):
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_bytes(damage)
    assert cache.get(ADA) is None
    cache.put(ADA, RESULT)
    assert cache.get(ADA) == RESULT


def test_threads_that_store_the_same_result_at_once_never_leave_half_of_it(tmp_path, cache):
    def put_and_get(_: int) -> bool:
        cache.put(ADA, RESULT)
        return cache.get(ADA) == RESULT

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(put_and_get, range(200)))
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".json"]


def test_a_folder_that_cannot_be_created_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CourseError, match="--no-cache"):
        cache_in(tmp_path)


def test_other_users_can_neither_read_nor_write_the_cache(tmp_path, cache):
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        assert os.stat(path).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("timeout", "no result within 10 seconds"),
        ("error", "MemoryError, at line 3"),
        ("error", "was ended by signal 9"),
    ],
)
def test_a_result_that_time_or_memory_decided_is_not_kept(tmp_path, status, message):
    cache = cache_in(tmp_path)
    limited = RESULT.model_copy(deep=True)
    test = next(iter(limited.exercises.values())).tests[0]
    test.status, test.message = status, message

    class Grader:
        def results(self, tasks):
            return ((task, limited, True) for task in tasks)

    assert grade_all([ADA], Grader(), cache) == [limited]
    assert cache.get(ADA) is None
