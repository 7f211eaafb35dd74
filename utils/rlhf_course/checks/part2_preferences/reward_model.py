"""Self-check of `RewardModel`, on a GPT-2 of two layers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.core import (
    RAISED,
    Answer,
    Case,
    Check,
    Observation,
    integers,
    mask_of_rows,
    observe_result,
    refused,
)
from rlhf_course.checks.tiny import fill, gpt2_folder, on_the_cpu, reused_models
from rlhf_course.errors import CourseError

HINTS = (
    "The last token of a text has attended to all others, so its residual stream knows the whole text. Where it "
    "stands depends on the padding: with padding on the right it is not in the last column.",
    "`self.final_residual(input_ids, attention_mask)` has shape [batch, seq, d_model]. Picking one position a row "
    "leaves [batch, d_model], the head makes [batch, 1] of it, and the rewards have shape [batch].",
    "Multiply the positions 0, 1, ... (`torch.arange`) by the mask: the largest product of a row is its last real "
    "position. First raise a ValueError with the index of a row whose mask is False everywhere. Index the residual "
    "stream with the row numbers and these positions, call the head, and squeeze the last dimension. For the head, "
    "`nn.init.normal_` and `nn.init.zeros_` overwrite the weights and the bias of a new `nn.Linear`.",
)
_HEADS = 40


def _observe(model_class: Any, inputs: Mapping[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        model = model_class.from_pretrained(gpt2_folder())
    if "width" in inputs:
        return _new_heads(model, inputs["width"])
    _put_right_head(model)
    fill(model.reward_head.parameters(), seed=9, scale=0.5)
    passed = inputs["input_ids"].clone(), inputs["attention_mask"].clone()
    try:
        result = model(*passed)
    except ValueError as error:
        empty = (~inputs["attention_mask"].any(1)).nonzero().flatten().tolist()
        if isinstance(error, CourseError) or not empty:
            raise
        return {RAISED: "ValueError", "its message holds the row's index": str(empty[0]) in str(error)}
    observation = observe_result(result)
    observation["value_head"] = type(model.value_head).__name__
    observation["inputs changed in place"] = not all(
        torch.equal(before, after) for before, after in zip(inputs.values(), passed, strict=True)
    )
    return {**observation, **_gradients(model, result)}


def _new_heads(model: Any, width: int) -> Observation:
    """Observe what new heads are, and their weights as statistics that do not depend on the random numbers."""
    made = [model.make_reward_head(width) for _ in range(_HEADS)]
    head = made[0]
    if not isinstance(head, nn.Linear):
        return {"make_reward_head returns": type(head).__name__}
    bias = "no bias" if head.bias is None else "with a bias"
    observation: Observation = {
        "make_reward_head returns": f"Linear({head.in_features}, {head.out_features}), {bias}",
        "weights differ between two heads": not torch.equal(head.weight, made[1].weight),
    }
    weights = torch.cat([each.weight.detach().flatten() for each in made])
    ratio = float(weights.square().mean().sqrt()) * (width + 1) ** 0.5
    observation["standard deviation of the weights, in units of 1 / sqrt(d_model + 1)"] = (
        "about 1" if abs(ratio - 1) < 0.15 else f"about {ratio:.1g}"
    )
    if head.bias is not None:
        observation["the bias is 0"] = not any(bool(each.bias.any()) for each in made)
    return observation


def _put_right_head(model: Any) -> None:
    """Give a model a right head, so that `forward` can be observed by itself."""
    model.reward_head = nn.Linear(model.cfg.d_model, 1)


def _gradients(model: Any, result: Any) -> Observation:
    """Observe whether a gradient of the rewards reaches the head and the transformer."""
    observation: Observation = {}
    if isinstance(result, Tensor) and result.requires_grad:
        (result * torch.arange(1, result.numel() + 1).reshape(result.shape)).sum().backward()
    parts = {
        "transformer": model.get_base_model_trainable_params(),
        "reward head": list(model.reward_head.parameters()),
    }
    for part, parameters in parts.items():
        reached = any(each.grad is not None and bool(each.grad.any()) for each in parameters)
        observation[f"gradients of the rewards reach the {part}"] = reached
    return observation


def _case(words: str, seed: int, *rows: str, end: bool = False) -> Case:
    mask = mask_of_rows(*rows)
    input_ids = integers(0, 37, *mask.shape, seed=seed)
    if end:  # Padding and the last real token are the end-of-text token, which also begins each text.
        last = (torch.arange(mask.shape[1]) * mask).amax(1, keepdim=True)
        first = mask.int().argmax(1, keepdim=True)
        input_ids = input_ids.clamp(min=1).masked_fill(~mask, 0).scatter(1, last, 0).scatter(1, first, 0)
    return Case(f"{words}: attention_mask = {', '.join(rows)}", {"input_ids": input_ids, "attention_mask": mask})


CASES = {
    "new heads": Case(f"make_reward_head(24), {_HEADS} times", {"width": 24}),
    "narrow heads": Case(f"make_reward_head(3), {_HEADS} times", {"width": 3}),
    "no padding": _case("three texts without padding", 291, "11111", "11111", "11111"),
    "padded right": _case("padding on the right", 292, "1110000", "1111110", "1000000"),
    "padded left": _case("padding on the left", 293, "0000111", "0111111", "0000001"),
    "end of text": _case(
        "the end-of-text token, 0, is the padding token, and begins and ends each text",
        294,
        "1111000",
        "0001111",
        "1111111",
        end=True,
    ),
    "one text": _case("one text", 295, "01111"),
    "no real token": refused(
        _case("a row without a real token", 296, "0111", "0000", "0011"), "row 1 has no real token to read"
    ),
}
CHECK = Check("RewardModel", CASES, _observe, is_called_with_inputs=False)


def test_a_new_head_is_a_linear_layer_with_small_random_weights(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "new heads")
    CHECK.require(RewardModel, "narrow heads")


def test_each_text_gets_one_reward(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "no padding")


def test_padding_on_the_right_changes_nothing(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "padded right")


def test_padding_on_the_left_changes_nothing(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "padded left")


def test_the_end_of_text_token_may_be_the_padding_token(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "end of text")


def test_one_text_is_a_batch_too(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "one text")


def test_a_row_without_a_real_token_is_a_value_error(RewardModel: Answer) -> None:
    CHECK.require(RewardModel, "no real token")
