"""Self-check of `best_of_n_kl`."""

from collections.abc import Mapping
from typing import Any

from rlhf_course.checks.core import Answer, Case, Check, Observation, observe_result, refused

HINTS = (
    "A text is at most n times as likely to be the best of n as it is under the model. If every chosen text were n "
    "times as likely, the divergence would be log n. Most are not, so it is smaller.",
    "An int goes in, and a Python float comes out: 0 for n = 1, and nearly log n - 1 for a large n. The logarithm is "
    "the natural one.",
    "Raise a ValueError if n is less than 1. Return `math.log(n)` minus (n - 1) / n.",
)

CASES = {
    "example": Case("the notebook's example: n = 4", {"n": 4}),
    "one": Case("n = 1", {"n": 1}),
    "two": Case("n = 2", {"n": 2}),
    "sixteen": Case("n = 16", {"n": 16}),
    "a thousand": Case("n = 1000", {"n": 1000}),
    "a million": Case("n = 1000000", {"n": 1_000_000}),
    "zero": refused(Case("n = 0", {"n": 0}), "there is no text to choose"),
    "negative": refused(Case("n = -3", {"n": -3}), "there is no text to choose"),
}


def _observe(best_of_n_kl: Answer, inputs: Mapping[str, Any]) -> Observation:
    result = best_of_n_kl(inputs["n"])
    return {"type": "float", "result": result} if isinstance(result, float) else observe_result(result)


CHECK = Check("best_of_n_kl", CASES, _observe)


def test_the_example_of_the_notebook_gives_its_number(best_of_n_kl: Answer) -> None:
    CHECK.require(best_of_n_kl, "example")


def test_a_single_text_is_the_models_own(best_of_n_kl: Answer) -> None:
    CHECK.require(best_of_n_kl, "one")


def test_the_divergence_is_less_than_log_n(best_of_n_kl: Answer) -> None:
    CHECK.require(best_of_n_kl, "two")
    CHECK.require(best_of_n_kl, "sixteen")


def test_many_texts_are_no_special_case(best_of_n_kl: Answer) -> None:
    CHECK.require(best_of_n_kl, "a thousand")
    CHECK.require(best_of_n_kl, "a million")


def test_fewer_than_one_text_is_a_value_error(best_of_n_kl: Answer) -> None:
    CHECK.require(best_of_n_kl, "zero")
    CHECK.require(best_of_n_kl, "negative")
