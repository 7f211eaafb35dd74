"""Drivers of `HookedTransformerWithValueHead`, on a GPT-2 of two layers.

Each makes a model of its own. Where the head's parameters have other shapes than the `weights` that a driver is given, it
gives back their shapes alone, as `head`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import plain, shapes, shift


class _Stopped(Exception):
    """Raised inside a head, to see what a call that fails leaves."""


class _FailingHead(nn.Module):
    def forward(self, resid: Tensor) -> Tensor:
        raise _Stopped


def forward(answer: Any, batches: Sequence[Tensor], weights: Sequence[Tensor]) -> dict[str, Any]:
    """Call `forward_with_value_head` on each batch in turn: logits, values, and the `value_head_output` that is then stored."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    calls = [{**_pair(model.forward_with_value_head(ids)), "stored": model.value_head_output} for ids in batches]
    return plain({"head": head, "calls": calls})


def without_head(answer: Any, input_ids: Tensor) -> dict[str, Any]:
    """The same on one batch, without a value head."""
    model = _model(answer, use_value_head=False)
    called = _pair(model.forward_with_value_head(input_ids))
    return plain(
        {
            **called,
            "value_head": model.value_head,
            "parameters": len(model.get_value_head_params()),
            "plain": model(input_ids),
        }
    )


def leftovers(answer: Any, input_ids: Tensor, other_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """What is stored once other ids went through the model and the transformer in plain passes, and their logits."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    model.forward_with_value_head(input_ids)
    passes = {"called": model(other_ids), "transformer": model.base_model(other_ids)}
    return plain({"head": head, **passes, "stored": model.value_head_output})


def failure(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """What is stored after a call, and what after a second one in which the head fails."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    model.forward_with_value_head(input_ids)
    before = plain(model.value_head_output)
    model.value_head = _FailingHead()
    try:
        model.forward_with_value_head(input_ids)
    except _Stopped:
        pass
    return {"head": head, "before": before, "after": plain(model.value_head_output)}


def hooks(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Run the transformer by hand with the model's own `fwd_hooks`: logits, and what they store."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    logits = model.base_model.run_with_hooks(input_ids, fwd_hooks=model.fwd_hooks)
    return plain({"head": head, "logits": logits, "stored": model.value_head_output})


def gradients(
    answer: Any, input_ids: Tensor, weights: Sequence[Tensor], of_logits: Tensor, of_values: Tensor
) -> dict[str, Any]:
    """Logits and values, and gradients of a weighted sum of them: the listed transformer's by name, the head's in order."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    pair = _pair(model.forward_with_value_head(input_ids))
    weights_of = {"logits": of_logits, "values": of_values}
    if any(getattr(pair.get(name), "shape", None) != one.shape for name, one in weights_of.items()):
        return plain({"head": head, **pair})
    total = sum((pair[name] * one).sum() for name, one in weights_of.items())
    if total.requires_grad:
        total.backward()
    listed = [id(one) for one in model.get_base_model_trainable_params()]
    base = {name: one.grad for name, one in nn.Module.named_parameters(model.base_model) if id(one) in listed}
    of_head = [one.grad for one in model.get_value_head_params()]
    return plain({"head": head, **pair, "listed": len(listed), "base": base, "of the head": of_head})


def modes(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Logits and values once all is cast to float64 by `to`, and whether `to`, `train` and `eval` reach both parts."""
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    model.train()
    training = [model.base_model.training, model.value_head.training]
    model.eval()
    evaluating = [not model.base_model.training, not model.value_head.training]
    model.to(torch.float64)
    parts = (model.get_base_model_trainable_params(), model.get_value_head_params())
    cast = [all(one.dtype == torch.float64 for one in part) for part in parts]
    try:
        pair = _pair(model.forward_with_value_head(input_ids)) if all(cast) else {}
    finally:
        nn.Module.to(model.base_model, torch.float32)  # as it was lent
    return plain({"head": head, "train": training, "eval": evaluating, "to": cast, **pair})


def saved(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Logits and values of a model that was changed all over, and loads the state of one as it was booted."""
    first, second = _model(answer), _model(answer)
    head = _fill(first, weights)
    if head != shapes(weights):
        return {"head": head}
    shift(second.get_base_model_trainable_params(), 0.5)
    second.load_state_dict(first.state_dict())
    return plain({"head": head, **_pair(second.forward_with_value_head(input_ids))})


def bridged(answer: Any, text: str, length: int) -> dict[str, Any]:
    """What the model does as the transformer that it holds: sizes, tokens and texts, and the likeliest continuation."""
    model = _model(answer)
    ids = model.to_tokens(text)
    return plain(
        {
            "width": model.cfg.d_model,
            "ids": ids,
            "bare": model.to_tokens(text, prepend_bos=False),
            "pieces": model.to_str_tokens(text),
            "string": model.to_string(ids[0]),
            "decoded": model.tokenizer.decode(ids[0]),
            "continued": model.generate(ids, max_new_tokens=length, do_sample=False, verbose=False),
        }
    )


def _model(answer: Any, use_value_head: bool = True) -> Any:
    return answer.from_pretrained(gpt2_folder(), use_value_head=use_value_head)


def _fill(model: Any, weights: Sequence[Tensor]) -> list[list[int]]:
    """Give the head these weights where it has their shapes, and say which shapes it has."""
    parameters = model.get_value_head_params()
    if shapes(parameters) == shapes(weights):
        with torch.no_grad():
            for parameter, numbers in zip(parameters, weights, strict=True):
                parameter.copy_(numbers)
    return shapes(parameters)


def _pair(result: Any) -> dict[str, Any]:
    """Logits and values, or the type of what came instead."""
    if not (isinstance(result, tuple | list) and len(result) == 2):
        return {"result": f"<{type(result).__name__}>"}
    return dict(zip(("logits", "values"), result, strict=True))
