"""Self-check of `calc_entropy_bonus`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call, round_to_quarters

HINTS = (
    "Entropy is the mean surprise of a distribution at its own draws: minus the log-probability, weighted with the "
    "probability. It is 0 for a certain token and largest for a uniform distribution, and never below 0.",
    "The logits have shape [minibatch, gen_len, vocab]; the sum over the vocabulary leaves [minibatch, gen_len]; the "
    "mean over both leaves a scalar, which is multiplied by the coefficient.",
    "Take `log_softmax` over the last dimension (`softmax` followed by `log` breaks for large logits). Multiply it by "
    "its own exponential, sum over the last dimension, change the sign, take the mean, and multiply by `ent_coef`.",
)

_BATCH = {"logits": normal(3, 4, 7, seed=61, scale=1.5), "ent_coef": 0.3, "gen_len": 4}
CASES = {
    "example": Case(
        "the notebook's example, with ent_coef = 1: logits whose softmax is 1/2, 1/4, 1/8, 1/16, 1/16",
        {"logits": torch.tensor([[[8.0, 4, 2, 1, 1]]]).log(), "ent_coef": 1.0, "gen_len": 1},
    ),
    "batch": Case("logits of shape [3, 4, 7], ent_coef = 0.3, gen_len = 4", _BATCH),
    "uniform": Case(
        "equal logits of shape [2, 3, 5], ent_coef = 1, gen_len = 3",
        {"logits": normal(2, 3, 5, seed=1) * 0 + 4, "ent_coef": 1.0, "gen_len": 3},
    ),
    "one text": Case(
        "logits of shape [1, 5, 3], ent_coef = 2, gen_len = 5",
        {"logits": normal(1, 5, 3, seed=63), "ent_coef": 2.0, "gen_len": 5},
    ),
    "extreme logits": Case(
        "logits near 10000 and -10000, of shape [2, 3, 5], ent_coef = 1",
        {
            "logits": normal(2, 3, 5, seed=64).sign() * 1e4 + round_to_quarters(normal(2, 3, 5, seed=65)),
            "ent_coef": 1.0,
            "gen_len": 3,
        },
    ),
}
CASES |= {
    "slices": sliced(CASES["batch"]),
    "float64": in_float64(CASES["one text"]),
    "other values": other_values(CASES["one text"]),
    "equal rows": with_equal_rows(CASES["batch"]),
}


def _observe(calc_entropy_bonus: Answer, inputs: Mapping[str, Any]) -> Observation:
    return observe_call(calc_entropy_bonus, inputs, gradient_of="logits")


CHECK = Check("calc_entropy_bonus", CASES, _observe, variations=variations(CASES["batch"], ent_coef=2.0))


def test_the_example_of_the_notebook_gives_its_numbers(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "example")


def test_entropy_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "batch")


def test_a_uniform_distribution_has_the_logarithm_of_the_vocabulary(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "uniform")


def test_one_text_is_a_batch_too(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "one text")


def test_extreme_logits_give_finite_numbers(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "extreme logits")


def test_slices_of_larger_tensors_give_the_same(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "slices")


def test_float64_gives_float64(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "other values")


def test_equal_rows_each_count(calc_entropy_bonus: Answer) -> None:
    CHECK.require(calc_entropy_bonus, "equal rows")
