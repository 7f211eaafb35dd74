"""Self-check of `calc_kl_penalty`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call, round_to_quarters

HINTS = (
    "At each position there are two distributions over the vocabulary. The divergence measures how surprised the "
    "reference would be by tokens that the policy draws, so the policy's probabilities are the weights.",
    "Both logits have shape [minibatch, gen_len, vocab]. Log-probabilities have the same shape; the sum over the "
    "vocabulary leaves [minibatch, gen_len]; the mean over both leaves a scalar, which is multiplied by the "
    "coefficient.",
    "Take `log_softmax` over the last dimension of both logits (`softmax` followed by `log` breaks for large logits). "
    "Weight the difference of the two, policy minus reference, with the exponential of the policy's; sum over the last "
    "dimension, take the mean, and multiply by `kl_coef`.",
)

_BATCH: dict[str, Any] = {
    "logits": normal(3, 4, 7, seed=51),
    "ref_logits": normal(3, 4, 7, seed=52, scale=1.5),
    "kl_coef": 2.5,
    "gen_len": 4,
}
_ONE_TEXT = {"logits": normal(1, 5, 3, seed=53), "ref_logits": normal(1, 5, 3, seed=54), "kl_coef": 0.7, "gen_len": 5}
_EXTREME = {
    "logits": normal(2, 3, 5, seed=55).sign() * 1e4 + round_to_quarters(normal(2, 3, 5, seed=56)),
    "ref_logits": normal(2, 3, 5, seed=57).sign() * 1e4 + round_to_quarters(normal(2, 3, 5, seed=58)),
    "kl_coef": 1.0,
    "gen_len": 3,
}
CASES = {
    "example": Case(
        "the notebook's example, with kl_coef = 1: logits whose softmax is 1/2, 1/4, 1/8, 1/16, 1/16, and ref_logits "
        "whose softmax is 1/8, 1/8, 1/8, 1/8, 1/2",
        {
            "logits": torch.tensor([[[8.0, 4, 2, 1, 1]]]).log(),
            "ref_logits": torch.tensor([[[1.0, 1, 1, 1, 4]]]).log(),
            "kl_coef": 1.0,
            "gen_len": 1,
        },
    ),
    "batch": Case("logits and ref_logits of shape [3, 4, 7], kl_coef = 2.5, gen_len = 4", _BATCH),
    "shifted": Case(
        "the same, with 3 added to every logit and 1 taken from every ref_logit",
        {**_BATCH, "logits": _BATCH["logits"] + 3, "ref_logits": _BATCH["ref_logits"] - 1},
    ),
    "equal": Case("logits equal to ref_logits", {**_BATCH, "ref_logits": _BATCH["logits"].clone()}),
    "one text": Case("logits and ref_logits of shape [1, 5, 3], kl_coef = 0.7, gen_len = 5", _ONE_TEXT),
    "extreme logits": Case("logits and ref_logits near 10000 and -10000, of shape [2, 3, 5], kl_coef = 1", _EXTREME),
}
CASES |= {
    "slices": sliced(CASES["batch"]),
    "float64": in_float64(CASES["one text"]),
    "other values": other_values(CASES["one text"]),
    "equal rows": with_equal_rows(CASES["batch"]),
}


def _observe(calc_kl_penalty: Answer, inputs: Mapping[str, Any]) -> Observation:
    return observe_call(calc_kl_penalty, inputs, gradient_of="logits")


CHECK = Check(
    "calc_kl_penalty",
    CASES,
    _observe,
    variations=variations(CASES["batch"], kl_coef=0.5, ref_logits=normal(3, 4, 7, seed=67)),
)


def test_the_example_of_the_notebook_gives_its_numbers(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "example")


def test_the_divergence_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "batch")


def test_adding_a_number_to_all_logits_changes_nothing(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "shifted")


def test_equal_distributions_have_no_divergence(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "equal")


def test_one_text_is_a_batch_too(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "one text")


def test_extreme_logits_give_finite_numbers(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "extreme logits")


def test_slices_of_larger_tensors_give_the_same(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "slices")


def test_float64_gives_float64(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "other values")


def test_equal_rows_each_count(calc_kl_penalty: Answer) -> None:
    CHECK.require(calc_kl_penalty, "equal rows")
