"""Drive `HookedTransformerWithValueHead` on a GPT-2 of two layers.

Each driver makes a model of its own and gives its value head the `weights`. If the head's parameters have other shapes,
the driver returns only these shapes, as `head`.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import plain, shapes, shift


class _HeadFailure(Exception):
    """The exception that a failing head raises."""


class _FailingHead(nn.Module):
    """A value head whose forward pass raises an exception."""

    def forward(self, resid: Tensor) -> Tensor:
        """Raise the exception."""
        raise _HeadFailure


def forward(answer: Any, batches: Sequence[Tensor], weights: Sequence[Tensor]) -> dict[str, Any]:
    """Call `forward_with_value_head` on each batch in turn.

    Args:
        answer: The learner's class.
        batches: Token ids, each of shape (batch, seq).
        weights: The weights of the value head.

    Returns:
        `calls`: for each batch the `logits`, the `values`, and as `stored` the `value_head_output` after the call.
    """
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    calls = []
    for input_ids in batches:
        outputs = _logits_and_values(model.forward_with_value_head(input_ids))
        calls.append({**outputs, "stored": model.value_head_output})
    return _observation(head=head, calls=calls)


def without_head(answer: Any, input_ids: Tensor) -> dict[str, Any]:
    """Call `forward_with_value_head` of a model that has no value head on one batch.

    Returns:
        `logits` and `values`; `value_head`; `parameters`, the number of the head's parameters; and `plain`, the logits
        of the model's own forward pass.
    """
    model = _model(answer, use_value_head=False)
    outputs = _logits_and_values(model.forward_with_value_head(input_ids))
    return _observation(
        **outputs,
        value_head=model.value_head,
        parameters=len(model.get_value_head_params()),
        plain=model(input_ids),
    )


def leftovers(answer: Any, input_ids: Tensor, other_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Call `forward_with_value_head`, and then run plain forward passes on other ids.

    Returns:
        `called` and `transformer`, the logits of plain passes of the model and of its transformer; and `stored`, the
        `value_head_output` after them.
    """
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    model.forward_with_value_head(input_ids)
    passes = {"called": model(other_ids), "transformer": model.base_model(other_ids)}
    return _observation(head=head, **passes, stored=model.value_head_output)


def failure(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Call `forward_with_value_head` twice, the second time with a value head that raises an exception.

    Returns:
        `before` and `after`, the `value_head_output` after the first and after the second call.
    """
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    model.forward_with_value_head(input_ids)
    before = plain(model.value_head_output)
    model.value_head = _FailingHead()
    with contextlib.suppress(_HeadFailure):
        model.forward_with_value_head(input_ids)
    return {"head": head, "before": before, "after": plain(model.value_head_output)}


def hooks(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Run the transformer with the model's `fwd_hooks`.

    Returns:
        `logits`, and `stored`, the `value_head_output` after the run.
    """
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    logits = model.base_model.run_with_hooks(input_ids, fwd_hooks=model.fwd_hooks)
    return _observation(head=head, logits=logits, stored=model.value_head_output)


def gradients(
    answer: Any, input_ids: Tensor, weights: Sequence[Tensor], of_logits: Tensor, of_values: Tensor
) -> dict[str, Any]:
    """Compute the gradients of a weighted sum of the logits and the values.

    Args:
        answer: The learner's class.
        input_ids: Token ids, shape (batch, seq).
        weights: The weights of the value head.
        of_logits: The weight of each logit in the sum, shape (batch, seq, vocab).
        of_values: The weight of each value in the sum, shape (batch, seq).

    Returns:
        `logits` and `values`; `listed`, the number of the transformer's listed trainable parameters; `base`, their
        gradients by name; and `of the head`, the gradients of the head's parameters in order. Only the logits and the
        values if one of them has another shape.
    """
    model = _model(answer)
    head = _fill(model, weights)
    if head != shapes(weights):
        return {"head": head}
    outputs = _logits_and_values(model.forward_with_value_head(input_ids))
    factors = {"logits": of_logits, "values": of_values}
    if any(getattr(outputs.get(name), "shape", None) != factor.shape for name, factor in factors.items()):
        return _observation(head=head, **outputs)
    total = sum((outputs[name] * factor).sum() for name, factor in factors.items())
    if total.requires_grad:
        total.backward()
    listed = [id(parameter) for parameter in model.get_base_model_trainable_params()]
    named_parameters = nn.Module.named_parameters(model.base_model)
    base = {name: parameter.grad for name, parameter in named_parameters if id(parameter) in listed}
    of_head = [parameter.grad for parameter in model.get_value_head_params()]
    return _observation(head=head, **outputs, listed=len(listed), base=base, **{"of the head": of_head})


def modes(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Call the model's `train`, `eval` and `to`, and then `forward_with_value_head` in float64.

    Returns:
        `train`, `eval` and `to`: for the transformer and for the head whether the method had its effect; and, if all
        parameters are float64, `logits` and `values`.
    """
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
    cast = [all(parameter.dtype == torch.float64 for parameter in part) for part in parts]
    try:
        outputs = _logits_and_values(model.forward_with_value_head(input_ids)) if all(cast) else {}
    finally:
        nn.Module.to(model.base_model, torch.float32)  # The transformer goes back to the pool of tiny models.
    return _observation(head=head, train=training, eval=evaluating, to=cast, **outputs)


def saved(answer: Any, input_ids: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Load the state of a model into a second one whose transformer differs, and call `forward_with_value_head`.

    Returns:
        `logits` and `values` of the second model.
    """
    first, second = _model(answer), _model(answer)
    head = _fill(first, weights)
    if head != shapes(weights):
        return {"head": head}
    shift(second.get_base_model_trainable_params(), 0.5)
    second.load_state_dict(first.state_dict())
    return _observation(head=head, **_logits_and_values(second.forward_with_value_head(input_ids)))


def bridged(answer: Any, text: str, length: int) -> dict[str, Any]:
    """Use the attributes and methods that the model passes on to its transformer.

    Args:
        answer: The learner's class.
        text: The text to tokenize.
        length: The number of tokens to generate greedily.

    Returns:
        `width`, the model's `d_model`; `ids` and `bare`, the token ids with and without the beginning-of-sequence
        token; `pieces`, the tokens' texts; `string` and `decoded`, the text of the ids by the model and by its
        tokenizer; and `continued`, the ids with the generated ones.
    """
    model = _model(answer)
    ids = model.to_tokens(text)
    return _observation(
        width=model.cfg.d_model,
        ids=ids,
        bare=model.to_tokens(text, prepend_bos=False),
        pieces=model.to_str_tokens(text),
        string=model.to_string(ids[0]),
        decoded=model.tokenizer.decode(ids[0]),
        continued=model.generate(ids, max_new_tokens=length, do_sample=False, verbose=False),
    )


def _model(answer: Any, use_value_head: bool = True) -> Any:
    return answer.from_pretrained(gpt2_folder(), use_value_head=use_value_head)


def _fill(model: Any, weights: Sequence[Tensor]) -> list[list[int]]:
    """Write weights to the head if its parameters have the same shapes, and return the shapes of its parameters."""
    parameters = model.get_value_head_params()
    if shapes(parameters) == shapes(weights):
        with torch.no_grad():
            for parameter, numbers in zip(parameters, weights, strict=True):
                parameter.copy_(numbers)
    return shapes(parameters)


def _observation(**values: Any) -> dict[str, Any]:
    """Return the results of a driver as plain data."""
    observation: dict[str, Any] = plain(values)
    return observation


def _logits_and_values(result: Any) -> dict[str, Any]:
    """Return the logits and the values by name; if a result is not a pair, return its type as `result`."""
    if not (isinstance(result, tuple | list) and len(result) == 2):
        return {"result": f"<{type(result).__name__}>"}
    return dict(zip(("logits", "values"), result, strict=True))
