"""Drive `HookedTransformerWithValueHead` on small GPT-2s, whose weights the judge chooses.

Each driver makes a model of its own, and returns only `{"base class": False}` for an answer that does not extend
`BridgeModel`. A driver takes the weights of the transformer by their names in the bridge, without the names of wrapped
components, and the weights of the value head in order. If the head's parameters have other shapes, the driver returns
only these shapes, as `head`. With `own_head=False` the driver gives the model a right head, so that the rest of an
answer can be judged where its head is wrong.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.bridge_models import callers_hooks, fill, for_subclasses, named_parameters, write
from rlhf_course.grading.drivers.plain import plain, shapes, watched_torch
from rlhf_course.rl.models import BridgeModel


@for_subclasses
def head(answer: Any, width: int, weights: Sequence[Tensor], resid: Tensor) -> dict[str, Any]:
    """Run the value head that an answer makes for some width, by itself.

    Args:
        answer: The learner's class.
        width: The width of the residual stream.
        weights: The weights of the value head.
        resid: A residual stream, shape (batch, seq, width).

    Returns:
        `values`, what the head gives.
    """
    model = _model(answer, use_value_head=True)
    value_head = model.value_head if width == model.cfg.d_model else model.make_value_head(width)
    if not isinstance(value_head, nn.Module):
        return {"kind of head": type(value_head).__name__}
    parameters = list(value_head.parameters())
    if shapes(parameters) != shapes(weights):
        return {"head": shapes(parameters)}
    write(parameters, weights)
    return {"values": value_head(resid)}


@for_subclasses
def calls(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    sequence: Sequence[tuple[str, Tensor | None]],
    own_head: bool = True,
    use_value_head: bool = True,
) -> dict[str, Any]:
    """Use one model in some sequence.

    Args:
        answer: The learner's class.
        transformer: The weights of the transformer.
        weights: The weights of the value head.
        sequence: The names of operations, each with token ids of shape (batch, seq) or None: the keys of
            `_OPERATIONS`, and "halve the weights", which writes half of all weights to the model in place.
        own_head: Whether the head is the answer's.
        use_value_head: Whether there is a head.

    Returns:
        `results`: for each operation what it gave, and as `stored` the `value_head_output` after it.
    """
    model = _model(answer, use_value_head, own_head)
    if (found := fill(model, model.value_head, transformer, weights)) is not None:
        return {"head": found}
    operations = _OPERATIONS | {"halve the weights": lambda model, _: _halve(model, transformer, weights)}
    results = []
    try:
        for operation, input_ids in sequence:
            result = operations[operation](model, input_ids)
            results.append(plain({**result, "stored": model.value_head_output}))
    finally:
        nn.Module.to(model.base_model, torch.float32)  # The transformer goes back to the pool of tiny models.
    return {"results": results}


@for_subclasses
def gradients(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    input_ids: Tensor,
    of_logits: Tensor,
    of_values: Tensor,
    mode: str,
    own_head: bool = True,
) -> dict[str, Any]:
    """Compute the gradients of a weighted sum of the logits and the values.

    Args:
        answer: The learner's class.
        transformer: The weights of the transformer.
        weights: The weights of the value head.
        input_ids: Token ids, shape (batch, seq).
        of_logits: The weight of each logit in the sum, shape (batch, seq, vocab).
        of_values: The weight of each value in the sum, shape (batch, seq).
        mode: The mode that the model is in, "train" or "eval".
        own_head: Whether the head is the answer's.

    Returns:
        `logits` and `values`; `transformer`, the gradients of the transformer's listed trainable parameters by name;
        and `value head`, the gradients of the head's parameters. Only logits and values if one of them has too many
        numbers or too few.
    """
    model = _model(answer, True, own_head)
    if (found := fill(model, model.value_head, transformer, weights)) is not None:
        return {"head": found}
    _OPERATIONS[mode](model, None)
    outputs = _logits_and_values(model.forward_with_value_head(input_ids))
    factors = {"logits": of_logits, "values": of_values}
    if any(_size(outputs.get(name)) != factor.numel() for name, factor in factors.items()):
        return outputs
    total = sum((outputs[name].reshape(factor.shape) * factor).sum() for name, factor in factors.items())
    if total.requires_grad:
        total.backward()
    listed = {id(parameter) for parameter in model.get_base_model_trainable_params()}
    found_gradients = {
        name: parameter.grad for name, parameter in named_parameters(model).items() if id(parameter) in listed
    }
    of_head = [parameter.grad for parameter in model.get_value_head_params()]
    return {**outputs, "transformer": found_gradients, "value head": of_head}


@for_subclasses
def saved(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    input_ids: Tensor,
    own_head: bool = True,
) -> dict[str, Any]:
    """Load the state of a model into a second one with other weights, and call `forward_with_value_head` there.

    Returns:
        `logits` and `values` of the second model; and what `watched_torch` reports of making the models.
    """
    with watched_torch() as torch_report:
        first, second = _model(answer, True, own_head), _model(answer, True, own_head)
    if (found := fill(first, first.value_head, transformer, weights)) is not None:
        return {"head": found}
    _halve(second, transformer, weights)
    second.load_state_dict(first.state_dict())
    return {**_logits_and_values(second.forward_with_value_head(input_ids)), **torch_report}


@for_subclasses
def bridged(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    text: str,
    length: int,
    own_head: bool = True,
) -> dict[str, Any]:
    """Use the attributes and methods that the model passes on to its transformer.

    Args:
        answer: The learner's class.
        transformer: The weights of the transformer.
        weights: The weights of the value head.
        text: The text to tokenize.
        length: The number of tokens to generate greedily.
        own_head: Whether the head is the answer's.

    Returns:
        `width`, the model's `d_model`; `ids` and `bare`, the token ids with and without the beginning-of-sequence
        token; `pieces`, the tokens' texts; `string` and `decoded`, the text of the ids by the model and by its
        tokenizer; `continued`, the ids with the generated ones; and `logits` and `values` for these.
    """
    model = _model(answer, True, own_head)
    if (found := fill(model, model.value_head, transformer, weights)) is not None:
        return {"head": found}
    ids = model.to_tokens(text)
    continued = model.generate(ids, max_new_tokens=length, do_sample=False, verbose=False)
    return {
        "width": model.cfg.d_model,
        "ids": ids,
        "bare": model.to_tokens(text, prepend_bos=False),
        "pieces": model.to_str_tokens(text),
        "string": model.to_string(ids[0]),
        "decoded": model.tokenizer.decode(ids[0]),
        "continued": continued,
        **_logits_and_values(model.forward_with_value_head(continued)),
    }


def _model(answer: Any, use_value_head: bool = True, own_head: bool = True) -> Any:
    """Return a model of the answer, with a head of the answer's or with a right one."""
    model = answer.from_pretrained(gpt2_folder(), use_value_head=use_value_head and own_head)
    if use_value_head and not own_head:
        width = model.cfg.d_model
        model.value_head = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1))
    return model


def _halve(model: Any, transformer: Mapping[str, Tensor], weights: Sequence[Tensor]) -> dict[str, Any]:
    """Write half of some weights to a model."""
    fill(
        model,
        model.value_head,
        {name: 0.5 * tensor for name, tensor in transformer.items()},
        [0.5 * tensor for tensor in weights],
    )
    return {}


def _logits_and_values(result: Any) -> dict[str, Any]:
    """Return the logits and the values by name; if a result is not a pair, return its type as `kind`."""
    if not (isinstance(result, tuple | list) and len(result) == 2):
        return {"kind": type(result).__name__}
    return dict(zip(("logits", "values"), result, strict=True))


def _size(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else -1


def _call(model: Any, input_ids: Tensor) -> dict[str, Any]:
    """Call `forward_with_value_head`.

    Returns:
        What `_logits_and_values` returns; `mode`, whether the call changed the model's training mode; and what
        `watched_torch` reports.
    """
    modules = [model, *nn.Module.modules(model.base_model)]
    before = [module.training for module in modules]
    with watched_torch() as torch_report:
        result = _logits_and_values(model.forward_with_value_head(input_ids))
    return {**result, **torch_report, "mode": before != [module.training for module in modules]}


def _call_without_gradients(model: Any, input_ids: Tensor) -> dict[str, Any]:
    """Call where the caller computes no gradients, and report as `attached` whether a result has one all the same."""
    with torch.no_grad():
        result = _logits_and_values(model.forward_with_value_head(input_ids))
    return {**result, "attached": any(getattr(part, "requires_grad", False) for part in result.values())}


def _call_beside_hooks(model: Any, input_ids: Tensor) -> dict[str, Any]:
    """Call where the transformer has hooks of the caller's, and report as `hooks` whether they all run afterwards."""
    with callers_hooks(model.base_model) as all_run:
        result = _logits_and_values(model.forward_with_value_head(input_ids))
        return {**result, "hooks": all_run(input_ids)}


def _failing_call(model: Any, input_ids: Tensor) -> dict[str, Any]:
    """Call with token ids that the transformer does not have."""
    with contextlib.suppress(Exception):
        model.forward_with_value_head(input_ids)
    return {}


def _forward(model: Any, input_ids: Tensor) -> dict[str, Any]:
    return {"logits": model(input_ids)}


def _transformer_forward(model: Any, input_ids: Tensor) -> dict[str, Any]:
    return {"logits": model.base_model(input_ids)}


def _cached_forward(model: Any, input_ids: Tensor) -> dict[str, Any]:
    logits, cache = model.base_model.run_with_cache(input_ids)
    return {"logits": logits, "resid": cache[BridgeModel.HOOK_POINT]}


def _hooked_forward(model: Any, input_ids: Tensor) -> dict[str, Any]:
    return {"logits": model.base_model.run_with_hooks(input_ids, fwd_hooks=model.fwd_hooks)}


def _nothing(model: Any) -> dict[str, Any]:
    return {}


_OPERATIONS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "forward_with_value_head": _call,
    "forward_with_value_head without gradients": _call_without_gradients,
    "forward_with_value_head beside hooks": _call_beside_hooks,
    "failing forward_with_value_head": _failing_call,
    "forward": _forward,
    "forward of the transformer": _transformer_forward,
    "run_with_cache": _cached_forward,
    "run_with_hooks": _hooked_forward,
    "train": lambda model, _: _nothing(model.train()),
    "eval": lambda model, _: _nothing(model.eval()),
    "double": lambda model, _: _nothing(model.to(torch.float64)),
    "reset_hooks": lambda model, _: _nothing(model.base_model.reset_hooks()),
}
