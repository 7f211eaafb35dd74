"""Results kept by content."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fake_judge import FakeJudge, FakeLimits, kept_in

from rlhf_course.errors import CourseError
from rlhf_course.grading.batch import cache
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY

ADA = Submission(
    "ada", {"part1_rlhf/get_logprobs.py": "x = 1\n", "part1_rlhf/trainer.py": "y = 2\n"}, ("a note on ada",)
)
RESULT = FakeJudge().grade(ADA)


@pytest.fixture
def kept(tmp_path):
    one = kept_in(tmp_path)
    one.keep(ADA, RESULT)
    return one


def test_what_was_kept_is_found_again_by_another_process(tmp_path, kept):
    assert kept_in(tmp_path).find(ADA) == RESULT


def test_a_result_is_found_by_its_answers_and_bears_the_name_and_warnings_of_whoever_asks(kept):
    bob = Submission("bob", dict(reversed(ADA.files.items())), ())
    assert kept.find(bob) == RESULT.model_copy(update={"name": "bob", "warnings": ["judged by a fake"]})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"part1_rlhf/get_logprobs.py": "x = 1\n"},
        {**ADA.files, "part1_rlhf/trainer.py": "y = 3\n"},
        {**ADA.files, "part1_rlhf/more.py": ""},
    ],
)
def test_other_answers_are_not_taken_for_the_same(kept, files):
    assert kept.find(replace(ADA, files=files)) is None


def test_other_limits_isolation_or_judge_make_every_result_anew(tmp_path, kept, monkeypatch):
    assert kept_in(tmp_path, FakeLimits(2.0)).find(ADA) is None
    assert kept_in(tmp_path, isolation="uid").find(ADA) is None
    monkeypatch.setattr(cache, "grading_version", lambda: "another")
    assert kept_in(tmp_path).find(ADA) is None


@pytest.mark.parametrize(
    "place",
    ["tests/hidden/test_get_logprobs.py", "solutions/part1_rlhf/trainer.py", "grading/judge.py", "rl/memory.py"],
)
def test_a_change_of_the_suite_the_reference_or_the_judge_is_noticed(tmp_path, monkeypatch, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text("x = 1\n")
    monkeypatch.setattr(cache, "_JUDGING", (tmp_path,))
    before = cache.grading_version.__wrapped__()
    assert before == cache.grading_version.__wrapped__()
    path.write_text("x = 2\n")
    assert cache.grading_version.__wrapped__() != before


def test_the_version_covers_the_hidden_suite_the_solutions_and_the_judge():
    names = {str(path.relative_to(REPOSITORY)) for path in cache._files()}
    assert {
        "solutions/part1_rlhf/trainer.py",
        "utils/rlhf_course/rl/trainer.py",
        "utils/rlhf_course/course.py",
    } <= names
    assert (
        any(name.startswith("tests/hidden/") for name in names)
        and "utils/rlhf_course/grading/batch/grade_all.py" in names
    )


@pytest.mark.parametrize("damage", [b"", b"{", b'{"name": 1}', b"\xff\xfe"])
def test_a_damaged_result_is_made_anew(tmp_path, kept, damage):
    (path,) = (tmp_path / "kept").rglob("*.json")
    path.write_bytes(damage)
    assert kept.find(ADA) is None
    kept.keep(ADA, RESULT)
    assert kept.find(ADA) == RESULT


def test_many_may_keep_the_same_result_at_once(tmp_path, kept):
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda _: (kept.keep(ADA, RESULT), kept.find(ADA) == RESULT or pytest.fail("half a result")), range(200)
            )
        )
    assert [path.suffix for path in (tmp_path / "kept").rglob("*") if path.is_file()] == [".json"]


def test_a_folder_that_cannot_be_made_is_said_with_what_to_do(tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(CourseError, match="--no-cache"):
        kept_in(tmp_path)


def test_nobody_else_may_write_where_results_are_kept(tmp_path, kept):
    assert os.stat(tmp_path / "kept").st_mode & 0o077 == 0
