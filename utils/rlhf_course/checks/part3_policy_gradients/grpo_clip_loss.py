"""Self-check of `grpo_clip_loss`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import (
    in_float64,
    other_values,
    requiring_gradients,
    sliced,
    variations,
    with_equal_rows,
)
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call

HINTS = (
    "A step on a rollout may make a token likelier or less likely, but only so far: outside the bounds, a token whose "
    "change already pays off gets no further gradient. One whose change went the wrong way keeps its gradient; that is "
    "what the smaller of the two products is for.",
    "Everything has shape [batch, gen], and nothing is averaged: the ratio, the ratio between its bounds, both "
    "products with the advantages, and the result. The old log-probabilities and the advantages are constants.",
    "The ratio is `exp` of the difference of the log-probabilities, with the old ones detached. `clamp` it between 1 - "
    "clip_low and 1 + clip_high. Multiply both by the detached advantages, take `torch.minimum` of the two products, "
    "and turn the sign.",
)


def _case(words: str, seed: int, texts: int, gen: int, low: float, high: float) -> Case:
    old = 0.5 * normal(texts, gen, seed=seed) - 3
    inputs = {
        "logprobs": old + 0.5 * normal(texts, gen, seed=seed + 1),
        "old_logprobs": old,
        "advantages": normal(texts, gen, seed=seed + 2),
        "clip_low": low,
        "clip_high": high,
    }
    return Case(f"{words} of shape [{texts}, {gen}], clip_low = {low}, clip_high = {high}", inputs)


_RATIOS = torch.tensor([[0.5, 1.0, 1.5, 0.5, 1.5]])
_TEXTS = _case("log-probabilities", 341, 4, 6, 0.2, 0.3)
_OLD = torch.tensor([[-2.0, -1.0, -3.0], [-0.5, -4.0, -2.5]])
CASES = {
    "example": Case(
        "five tokens: ratios 0.5, 1, 1.5, 0.5, 1.5 with the advantages 1, 1, 1, -1, -1, clip_low = 0.2, "
        "clip_high = 0.25",
        {
            "logprobs": _RATIOS.log() - 2,
            "old_logprobs": torch.full((1, 5), -2.0),
            "advantages": torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]]),
            "clip_low": 0.2,
            "clip_high": 0.25,
        },
    ),
    "texts": _TEXTS,
    "first step": Case(
        "logprobs that equal old_logprobs, of shape [2, 3], clip_low = clip_high = 0.2",
        {
            "logprobs": _OLD.clone(),
            "old_logprobs": _OLD,
            "advantages": torch.tensor([[1.0, 1.0, 1.0], [-0.5, -0.5, -0.5]]),
            "clip_low": 0.2,
            "clip_high": 0.2,
        },
    ),
    "wide above": _case("log-probabilities", 347, 3, 4, 0.1, 0.8),
    "wide below": _case("log-probabilities", 351, 3, 4, 0.8, 0.05),
    "one token": _case("one log-probability", 355, 1, 1, 0.3, 0.1),
}
CASES |= {
    "slices": sliced(_TEXTS),
    "float64": in_float64(CASES["wide above"]),
    "other values": other_values(_TEXTS),
    "equal rows": with_equal_rows(_TEXTS),
    "with gradients": requiring_gradients(_TEXTS),
}


def _observe(grpo_clip_loss: Answer, inputs: Mapping[str, Any]) -> Observation:
    observation = observe_call(grpo_clip_loss, inputs, gradient_of="logprobs")
    # In one case alone, so that an answer that detaches nothing and has another mistake is still known by its values.
    constants = _other_gradients(grpo_clip_loss, inputs) if inputs["old_logprobs"].requires_grad else {}
    return {**observation, **constants}


def _other_gradients(grpo_clip_loss: Answer, inputs: Mapping[str, Any]) -> Observation:
    """Observe whether a gradient reaches what is a constant."""
    arguments = {name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()}
    sources = {name: value.requires_grad_(True) for name, value in arguments.items() if isinstance(value, Tensor)}
    result = grpo_clip_loss(*arguments.values())
    if not (isinstance(result, Tensor) and result.requires_grad):
        return {}
    del sources["logprobs"]
    found = torch.autograd.grad(result.sum(), list(sources.values()), allow_unused=True)
    return {
        f"a gradient reaches {name}": gradient is not None and bool(gradient.any())
        for name, gradient in zip(sources, found, strict=True)
    }


_VARIATIONS = variations(
    _TEXTS,
    logprobs=normal(4, 6, seed=357) - 3,
    old_logprobs=normal(4, 6, seed=358) - 3,
    advantages=normal(4, 6, seed=359),
    clip_low=0.05,
    clip_high=0.05,
)
CHECK = Check("grpo_clip_loss", CASES, _observe, variations=_VARIATIONS)


def test_tokens_within_and_outside_the_bounds_have_the_smaller_product(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "example")


def test_losses_and_gradients_are_those_of_each_token(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "texts")


def test_before_the_first_step_the_loss_is_minus_the_advantage(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "first step")


def test_the_upper_bound_is_that_of_clip_high(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "wide above")


def test_the_lower_bound_is_that_of_clip_low(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "wide below")


def test_one_token_is_a_batch_too(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "one token")


def test_slices_of_larger_tensors_give_the_same(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "slices")


def test_float64_gives_float64(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "other values")


def test_equal_rows_each_count(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "equal rows")


def test_old_log_probabilities_and_advantages_that_require_gradients_are_constants(grpo_clip_loss: Answer) -> None:
    CHECK.require(grpo_clip_loss, "with gradients")
