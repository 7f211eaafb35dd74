"""An instructor sees what one hidden test passed, what came back and what was wanted."""

import pytest

from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.explain import explain
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.secret import PUBLIC, Secret

TEST = "test_kl_coef_scales_the_penalty"


def account(answer, test=TEST, secret=PUBLIC) -> str:
    return "\n".join(explain(LocalAnswers({"calc_kl_penalty": answer}), "calc_kl_penalty", test, secret))


def always_one(logits, ref_logits, kl_coef, gen_len):
    return (0 * logits).sum() + 1


def test_inputs_result_and_wanted_are_shown_with_the_tests_result():
    text = account(always_one)
    assert f"(1 points), with the secret {PUBLIC.fingerprint}" in text
    assert "call 1" in text and "  1 = float32[" in text and "returned float32[] 1.0" in text
    assert "came   float32[] 1.0" in text and "wanted float64[] " in text
    assert text.splitlines()[-1].startswith("failed: The penalty with another coefficient")


def test_the_test_may_be_named_as_in_the_results_and_the_secret_decides_the_inputs():
    assert account(always_one, "kl coef scales the penalty") == account(always_one)
    assert account(always_one, secret=Secret(b"s" * 32)) != account(always_one)


def test_an_exception_of_the_answer_is_shown_as_what_came_back():
    def broken(logits, ref_logits, kl_coef, gen_len):
        raise ValueError("no")

    assert "returned 'ValueError" in account(broken)


def test_an_unknown_test_is_named_with_those_that_there_are():
    with pytest.raises(CourseError, match=r"no hidden test 'test_nothing'; it has: .*kl coef scales the penalty"):
        account(always_one, "test_nothing")
