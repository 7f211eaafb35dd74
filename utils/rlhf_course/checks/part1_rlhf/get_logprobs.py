"""Self-check of `get_logprobs`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, integers, normal, observe_call, round_to_quarters

HINTS = (
    "The logits at position i predict the token at position i + 1. So the log-probability of a token is found one "
    "position before it, in the column of that token's id.",
    "Leave out the last position's logits (no token follows it) and the tokens of the prefix: logits from prefix_len - "
    "1 to the last position, which is excluded, belong to the tokens from prefix_len on. Both have seq - prefix_len "
    "positions.",
    "Take `log_softmax` over the last dimension of those logits, and pick the entry of the token's id at each "
    "position: `gather` along the last dimension takes the ids with one more dimension at the end, which you squeeze "
    "afterwards. Treat `prefix_len=None` as 1.",
)


def _case(batch: int, seq: int, vocab: int, prefix_len: int | None, seed: int, scale: float = 1.0) -> Case:
    inputs = {
        "logits": normal(batch, seq, vocab, seed=seed, scale=scale),
        "tokens": integers(0, vocab, batch, seq, seed=seed + 1),
        "prefix_len": prefix_len,
    }
    return Case(
        f"logits of shape [{batch}, {seq}, {vocab}], tokens of shape [{batch}, {seq}], prefix_len = {prefix_len}",
        inputs,
    )


_EXTREME = _case(2, 4, 5, 2, seed=75)
_EXTREME_LOGITS = _EXTREME.inputs["logits"].sign() * 1e4 + round_to_quarters(_EXTREME.inputs["logits"])
# The probabilities of the notebook's example.
_EXAMPLE = torch.tensor(
    [[0.25, 0.5, 0.25], [0.125, 0.625, 0.25], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.3, 0.3, 0.4]],
)
CASES = {
    "example": Case(
        "the notebook's example: the five rows of the table as logits, tokens = [[0, 1, 2, 1, 2]], prefix_len = 3",
        {"logits": _EXAMPLE.log()[None], "tokens": torch.tensor([[0, 1, 2, 1, 2]]), "prefix_len": 3},
    ),
    "batch": _case(3, 8, 6, 3, seed=71),
    "no prefix": _case(2, 5, 7, None, seed=72),
    "prefix of one": _case(2, 6, 4, 1, seed=73),
    "one text": _case(1, 4, 5, 2, seed=74),
    "extreme logits": Case(
        "logits near 10000 and -10000, of shape [2, 4, 5], prefix_len = 2",
        {**_EXTREME.inputs, "logits": _EXTREME_LOGITS},
    ),
}
CASES |= {
    "slices": sliced(CASES["batch"]),
    "float64": in_float64(CASES["one text"]),
    "other values": other_values(CASES["one text"]),
    "equal rows": with_equal_rows(CASES["batch"]),
}


def _observe(get_logprobs: Answer, inputs: Mapping[str, Any]) -> Observation:
    return observe_call(get_logprobs, inputs, gradient_of="logits")


CHECK = Check(
    "get_logprobs",
    CASES,
    _observe,
    variations=variations(CASES["batch"], tokens=integers(0, 6, 3, 8, seed=77), prefix_len=5),
)


def test_the_example_of_the_notebook_gives_its_numbers(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "example")


def test_each_token_after_the_prefix_gets_the_log_probability_it_was_given(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "batch")


def test_no_prefix_length_means_one(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "no prefix")


def test_a_prefix_of_one_token_works(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "prefix of one")


def test_one_text_is_a_batch_too(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "one text")


def test_extreme_logits_give_finite_numbers(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "extreme logits")


def test_slices_of_larger_tensors_give_the_same(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "slices")


def test_float64_gives_float64(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "other values")


def test_equal_rows_each_count(get_logprobs: Answer) -> None:
    CHECK.require(get_logprobs, "equal rows")
