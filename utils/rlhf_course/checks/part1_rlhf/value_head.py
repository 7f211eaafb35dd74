"""Self-check of `HookedTransformerWithValueHead`, on a GPT-2 of two layers."""

from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.core import Case, Check, Observation, integers, observe_result
from rlhf_course.checks.tiny import fill, gpt2_folder, on_the_cpu, reused_models

HINTS = (
    "The head is a small network of its own. It never runs by itself: a hook hands it the residual stream while the "
    "transformer runs, and `run_value_head` leaves the values on the model, where `forward_with_value_head` finds them.",
    "The residual stream is [batch, seq, d_model]. The head maps its last dimension to 1, which gives [batch, seq, 1]; the "
    "values have shape [batch, seq]: take away the last dimension, and that one alone, or a batch of one loses another.",
    "The head is an nn.Sequential of a Linear, a ReLU and a Linear. `forward_with_value_head` first sets the stored values to "
    "None; without a head it returns the transformer's logits and None; otherwise it runs the transformer by its "
    "`run_with_hooks`, with `fwd_hooks=self.fwd_hooks`, and returns the logits and what the hook has stored.",
)


class _Failure(Exception):
    """Raised inside a head, to see what a failed call leaves."""


class _FailingHead(nn.Module):
    def forward(self, resid: Tensor) -> Tensor:
        raise _Failure


def _observe(model_class: Any, inputs: dict[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        model = model_class.from_pretrained(gpt2_folder(), use_value_head=inputs["use_value_head"])
    if not inputs["use_value_head"]:
        return {"value_head": type(model.value_head).__name__, **_forward(model, inputs["input_ids"])}
    seen: Observation = {"value head": _layers(model.value_head)}
    if not isinstance(model.value_head, nn.Module):
        return seen
    fill(model.get_value_head_params(), seed=9, scale=0.5)
    for batch, input_ids in inputs.items():
        if batch != "use_value_head":
            seen |= {
                f"{key}, input_ids of shape {list(input_ids.shape)}": one
                for key, one in _forward(model, input_ids).items()
            }
    return {**seen, **_leftovers(model, inputs["input_ids"]), **_gradients(model, inputs["input_ids"])}


def _layers(head: Any) -> list[str]:
    if not isinstance(head, nn.Sequential):
        return [type(head).__name__]
    return [
        f"Linear({one.in_features}, {one.out_features}{'' if one.bias is not None else ', bias=False'})"
        if isinstance(one, nn.Linear)
        else type(one).__name__
        for one in head
    ]


def _forward(model: Any, input_ids: Tensor) -> Observation:
    model.value_head_output = torch.zeros(1)  # a value of an earlier call
    result = model.forward_with_value_head(input_ids)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        return {"type of the result": type(result).__name__}
    logits, values = result
    seen: Observation = {f"{key} of the values": one for key, one in observe_result(values).items()}
    seen["shape of the logits"] = list(getattr(logits, "shape", []))
    with torch.no_grad():
        plain = model.base_model(input_ids)
    seen["logits equal those of the plain forward pass"] = isinstance(logits, Tensor) and _equal(logits, plain)
    if values is not None:
        seen["value_head_output holds the values"] = isinstance(values, Tensor) and _equal(
            model.value_head_output, values
        )
    return seen


def _equal(one: Any, other: Tensor) -> bool:
    return isinstance(one, Tensor) and one.shape == other.shape and bool(torch.allclose(one, other, atol=1e-5))


def _leftovers(model: Any, input_ids: Tensor) -> Observation:
    """What a call leaves behind: after another plain pass, and after a call that failed."""
    model.forward_with_value_head(input_ids)
    model.value_head_output = None
    model.base_model(input_ids)
    seen: Observation = {
        "a plain forward pass afterwards runs the head (a hook was left)": model.value_head_output is not None
    }
    model.value_head_output = torch.zeros(1)
    whole, model.value_head = model.value_head, _FailingHead()
    try:
        model.forward_with_value_head(input_ids)
    except _Failure:
        pass
    finally:
        model.value_head = whole
    seen["value_head_output is cleared before the pass"] = model.value_head_output is None
    model.base_model.reset_hooks()
    return seen


def _gradients(model: Any, input_ids: Tensor) -> Observation:
    """Which parameters a gradient of logits and of values reaches."""
    seen: Observation = {}
    for what in ("logits", "values"):
        model.zero_grad()
        logits, values = model.forward_with_value_head(input_ids)
        result = {"logits": logits, "values": values}[what]
        if isinstance(result, Tensor) and result.requires_grad:
            (result * torch.arange(result.numel(), dtype=result.dtype).reshape(result.shape)).sum().backward()
        parts = {"transformer": model.get_base_model_trainable_params(), "value head": model.get_value_head_params()}
        for part, parameters in parts.items():
            reached = any(one.grad is not None and bool(one.grad.abs().sum() > 0) for one in parameters)
            seen[f"gradients of the {what} reach the {part}"] = reached
    return seen


CASES = {
    "with a head": Case(
        "from_pretrained(a GPT-2 with d_model = 24)",
        {
            "use_value_head": True,
            "input_ids": integers(0, 37, 3, 5, seed=81),
            "one text": integers(0, 37, 1, 4, seed=82),
            "one token": integers(0, 37, 1, 1, seed=83),
        },
    ),
    "without a head": Case(
        "from_pretrained(…, use_value_head=False), input_ids of shape [2, 4]",
        {"use_value_head": False, "input_ids": integers(0, 37, 2, 4, seed=84)},
    ),
}
CHECK = Check("HookedTransformerWithValueHead", CASES, _observe)


def test_the_head_is_as_described_and_its_values_come_with_the_logits(HookedTransformerWithValueHead):
    CHECK.require(HookedTransformerWithValueHead, "with a head")


def test_without_a_head_there_are_logits_and_no_values(HookedTransformerWithValueHead):
    CHECK.require(HookedTransformerWithValueHead, "without a head")
