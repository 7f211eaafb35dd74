"""Self-check of `HookedTransformerWithValueHead`, on a GPT-2 of two layers."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.core import Answer, Case, Check, Observation, integers, normal, observe_result
from rlhf_course.checks.tiny import fill, gpt2_folder, on_the_cpu, reused_models

HINTS = (
    "The head is a small network of its own. It never runs by itself: a hook passes it the residual stream while the "
    "transformer runs, and `run_value_head` stores the values on the model, where `forward_with_value_head` reads "
    "them.",
    "The residual stream has shape [batch, seq, d_model]. The head maps its last dimension to 1, which gives [batch, "
    "seq, 1]; the values have shape [batch, seq]. Squeeze the last dimension only: for a batch of one, `squeeze()` "
    "without a dimension removes the first one, too.",
    "The head is an nn.Sequential of a Linear, a ReLU and a Linear. `forward_with_value_head` first sets the stored "
    "values to None. Without a head it returns the transformer's logits and None. Otherwise it runs the transformer "
    "with its `run_with_hooks` and `fwd_hooks=self.fwd_hooks`, and returns the logits and the values that the hook "
    "stored.",
)
_RETURNED, _BOTH = "type of what forward_with_value_head returns:", "(logits, values)"


class _FailingHead(nn.Module):
    """A value head whose forward pass fails, to observe the state after a failed call."""

    def forward(self, resid: Tensor) -> Tensor:
        raise RuntimeError


def _observe(model_class: Any, inputs: Mapping[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        model = model_class.from_pretrained(gpt2_folder(), use_value_head=inputs["use_value_head"])
    if not inputs["use_value_head"]:
        return {"value_head": type(model.value_head).__name__, **_forward(model, inputs["input_ids"])}
    observation: Observation = {"value head": _layers(model.value_head)}
    if not isinstance(model.value_head, nn.Module):
        return observation
    fill(model.get_value_head_params(), seed=9, scale=0.5)
    resid = normal(2, 3, 24, seed=85)
    returned = model.run_value_head(resid, None)
    observation["type of what run_value_head returns:"] = type(None if returned is resid else returned).__name__
    if returned is not None and returned is not resid:  # It takes the place of the residual stream.
        return observation
    for batch, input_ids in inputs.items():
        if batch != "use_value_head":
            forward = _forward(model, input_ids)
            if forward[_RETURNED] != _BOTH:
                return {**observation, **forward}
            observation[_RETURNED] = forward.pop(_RETURNED)
            observation |= {f"{key}, input_ids of shape {list(input_ids.shape)}": forward[key] for key in forward}
    return {**observation, **_leftovers(model, inputs["input_ids"]), **_gradients(model, inputs["input_ids"])}


def _layers(head: Any) -> list[str]:
    if not isinstance(head, nn.Sequential):
        return [type(head).__name__]
    return [
        f"Linear({layer.in_features}, {layer.out_features}{'' if layer.bias is not None else ', bias=False'})"
        if isinstance(layer, nn.Linear)
        else type(layer).__name__
        for layer in head
    ]


def _forward(model: Any, input_ids: Tensor) -> Observation:
    model.value_head_output = torch.zeros(1)  # stands for the value of an earlier call
    result = model.forward_with_value_head(input_ids)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        return {_RETURNED: type(result).__name__}
    logits, values = result
    observed_values = observe_result(values)
    observation: Observation = {_RETURNED: _BOTH}
    observation |= {f"{key} of the values": observed_values[key] for key in observed_values}
    observation["shape of the logits"] = list(getattr(logits, "shape", []))
    with torch.no_grad():
        plain_logits = model.base_model(input_ids)
    observation["logits equal those of the plain forward pass"] = _allclose(logits, plain_logits)
    if values is not None:
        observation["value_head_output holds the values"] = isinstance(values, Tensor) and _allclose(
            model.value_head_output, values
        )
    return observation


def _allclose(value: Any, expected: Tensor) -> bool:
    return (
        isinstance(value, Tensor) and value.shape == expected.shape and bool(torch.allclose(value, expected, atol=1e-5))
    )


def _leftovers(model: Any, input_ids: Tensor) -> Observation:
    """Observe the state of the model after a call, and after a call that failed."""
    model.forward_with_value_head(input_ids)
    model.value_head_output = None
    model.base_model(input_ids)
    observation: Observation = {
        "a plain forward pass afterwards runs the head (a hook was left)": model.value_head_output is not None
    }
    model.value_head_output = torch.zeros(1)
    value_head, model.value_head = model.value_head, _FailingHead()
    with contextlib.suppress(Exception):  # An answer that takes the head's layers one by one fails in another way.
        model.forward_with_value_head(input_ids)
    model.value_head = value_head
    observation["value_head_output is cleared before the pass"] = model.value_head_output is None
    model.base_model.reset_hooks()
    return observation


def _gradients(model: Any, input_ids: Tensor) -> Observation:
    """Observe which parameters a gradient of the logits and of the values reaches."""
    observation: Observation = {}
    for output in ("logits", "values"):
        model.zero_grad()
        logits, values = model.forward_with_value_head(input_ids)
        result = {"logits": logits, "values": values}[output]
        if isinstance(result, Tensor) and result.requires_grad:
            (result * torch.arange(result.numel(), dtype=result.dtype).reshape(result.shape)).sum().backward()
        parts = {"transformer": model.get_base_model_trainable_params(), "value head": model.get_value_head_params()}
        for part, parameters in parts.items():
            reached = any(
                parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in parameters
            )
            observation[f"gradients of the {output} reach the {part}"] = reached
    return observation


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
CHECK = Check("HookedTransformerWithValueHead", CASES, _observe, is_called_with_inputs=False)


def test_the_head_is_as_described_and_its_values_come_with_the_logits(HookedTransformerWithValueHead: Answer) -> None:
    CHECK.require(HookedTransformerWithValueHead, "with a head")


def test_without_a_head_there_are_logits_and_no_values(HookedTransformerWithValueHead: Answer) -> None:
    CHECK.require(HookedTransformerWithValueHead, "without a head")
