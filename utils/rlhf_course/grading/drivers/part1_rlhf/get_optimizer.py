"""Drive `get_optimizer`: step its optimizer on a small model that has two parts, and on a GPT-2 with a value head."""

from collections.abc import Iterable, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import flat, watched_torch
from rlhf_course.rl import schedule
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.models import BridgeModel


class _TwoParts(nn.Module):
    """A small model with the methods of a model with a value head that an optimizer needs, and a frozen layer.

    Args:
        base: The weights and biases of the transformer's layers, in turn.
        head: Those of the value head's layers.
    """

    def __init__(self, base: Sequence[Tensor], head: Sequence[Tensor]) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"body": _layers(base), "frozen": nn.Linear(2, 2, dtype=base[0].dtype)})
        self.base_model["frozen"].requires_grad_(False)
        self.value_head = _layers(head)

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        return list(self.base_model["body"].parameters())

    def get_value_head_params(self) -> list[nn.Parameter]:
        return list(self.value_head.parameters())


class _Transformer(BridgeModel):
    """The tiny GPT-2 with a head."""

    def make_value_head(self, d_model: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))


def steps(
    answer: Any,
    base: Sequence[Tensor],
    head: Sequence[Tensor],
    gradients: Sequence[Sequence[Tensor]],
    base_lr: float,
    head_lr: float,
    factors: Sequence[Sequence[float]] = (),
    is_gradient_kept: bool = False,
) -> dict[str, Any]:
    """Make the optimizer for a small model, and step it once for each pair of gradients.

    Args:
        answer: The learner's function.
        base: The start of the transformer's parameters: the weight and the bias of each of its layers in turn.
        head: The same for the value head.
        gradients: For each step the gradients of both parts, each as one vector.
        base_lr: The learning rate of the transformer, which is passed to the answer.
        head_lr: The learning rate of the head, which is passed to the answer.
        factors: For each parameter group the factors by which a schedule multiplies its rate in each step; nothing
            runs no schedule.
        is_gradient_kept: Whether only the first pair of gradients is written, so that each step meets the tensors that
            the step before has left.

    Returns:
        `after`: both parts after each step, as vectors. If there is no optimizer, only the name of its type as `kind`;
        if a schedule does not take that number of groups, only `groups`.
    """
    model = _TwoParts(base, head)
    parts = _parts(model)
    optimizer = answer(model, base_lr, head_lr)
    if not isinstance(optimizer, Optimizer):
        return {"kind": type(optimizer).__name__}
    scheduler = None
    if factors:
        if len(optimizer.param_groups) != len(factors):
            return {"groups": len(optimizer.param_groups)}
        scheduler = LambdaLR(optimizer, [_factor_function(own) for own in factors])
    return {"after": _step(parts, optimizer, scheduler, gradients, is_gradient_kept)}


def sizes(answer: Any) -> dict[str, int]:
    """Return the number of numbers in each part of the tiny GPT-2 with a head."""
    return {name: flat(parameters).numel() for name, parameters in _parts(_transformer()).items()}


def training(
    answer: Any,
    base: Tensor,
    head: Tensor,
    settings: dict[str, Any],
    inputs: dict[str, Tensor],
    gradients: Sequence[Sequence[Tensor]],
) -> dict[str, Any]:
    """Make optimizer and schedule for the tiny GPT-2, run a backward pass, and step with gradients of the judge.

    Args:
        answer: The learner's function.
        base: The start of the transformer's parameters, as one vector.
        head: The start of the head's parameters, as one vector.
        settings: Fields of `RLHFArgs`.
        inputs: `input_ids` and `of_logits`, the weights of the logits in a sum; `resid` and `of_values`, a residual
            stream for the head and the weights of its values in the sum.
        gradients: For each step the gradients of both parts, as vectors.

    Returns:
        `backward`, the gradients of both parts in the backward pass of the sum, None for a part that gets none;
        `after`, as for `steps`; `left`, what the answer changed in the model, besides weights; and what `watched_torch`
        reports. Only `kind` if there is no optimizer.
    """
    model, args = _transformer(), RLHFArgs(**settings)
    parts = _parts(model)
    for parameters, numbers in zip(parts.values(), (base, head), strict=True):
        _write(parameters, numbers)
    before = _state(model)
    with watched_torch() as torch_report:
        optimizer = answer(model, args.base_lr, args.head_lr)
    left = [words for words, value in _state(model).items() if value != before[words]]
    if not isinstance(optimizer, Optimizer):
        return {"kind": type(optimizer).__name__}
    with mock.patch.object(schedule, "imported_answer", lambda name: lambda *arguments: optimizer):
        optimizer, scheduler = schedule.get_optimizer_and_scheduler(args, model)
    backward = _backward(model, parts, inputs)
    return {"backward": backward, "after": _step(parts, optimizer, scheduler, gradients), "left": left, **torch_report}


def _state(model: Any) -> dict[str, Any]:
    """Return, by the words of a message, what making an optimizer has to leave as it was."""
    modules = [model, *nn.Module.modules(model.base_model)]
    parameters = [*nn.Module.parameters(model.base_model), *model.value_head.parameters()]
    return {
        "its training mode": [module.training for module in modules],
        "which parameters require a gradient": [parameter.requires_grad for parameter in parameters],
    }


def _layers(tensors: Sequence[Tensor]) -> nn.Sequential:
    """Return linear layers with some weights and biases."""
    layers: list[nn.Module] = []
    for weight, bias in zip(tensors[::2], tensors[1::2], strict=True):
        layers += [nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype), nn.ReLU()]
        _write(layers[-2].parameters(), torch.cat([weight.flatten(), bias]))
    return nn.Sequential(*layers[:-1])


def _transformer() -> _Transformer:
    return _Transformer.from_pretrained(gpt2_folder())


def _parts(model: Any) -> dict[str, list[nn.Parameter]]:
    return {"base": model.get_base_model_trainable_params(), "head": model.get_value_head_params()}


def _factor_function(factors: Sequence[float]) -> Any:
    return lambda step: [*factors, 1.0][step]


def _backward(model: Any, parts: dict[str, list[nn.Parameter]], inputs: dict[str, Tensor]) -> dict[str, Tensor | None]:
    """Return the gradients of the weighted sum of logits and values, as one vector for each part."""
    for parameter in (parameter for parameters in parts.values() for parameter in parameters):
        parameter.grad = None
    of_logits = (model.base_model(inputs["input_ids"]) * inputs["of_logits"]).sum()
    of_values = (model.value_head(inputs["resid"])[..., 0] * inputs["of_values"]).sum()
    for total in (of_logits, of_values):
        if total.requires_grad:
            total.backward()
    found = {name: [parameter.grad for parameter in parameters] for name, parameters in parts.items()}
    return {name: None if any(item is None for item in grads) else flat(grads) for name, grads in found.items()}


def _step(
    parts: dict[str, list[nn.Parameter]],
    optimizer: Optimizer,
    scheduler: LRScheduler | None,
    gradients: Sequence[Sequence[Tensor]],
    is_gradient_kept: bool = False,
) -> list[dict[str, Tensor]]:
    """Step once for each pair of gradients, and return both parts after each step."""
    after: list[dict[str, Tensor]] = []
    for pair in gradients:
        if not (after and is_gradient_kept):
            for parameters, numbers in zip(parts.values(), pair, strict=True):
                _write([_new_gradient(parameter) for parameter in parameters], numbers)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        after.append({name: flat(parameters) for name, parameters in parts.items()})
    return after


def _new_gradient(parameter: nn.Parameter) -> Tensor:
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _write(tensors: Iterable[Tensor], numbers: Tensor) -> None:
    """Write a vector to tensors, one after the other."""
    tensors = list(tensors)
    with torch.no_grad():
        for tensor, part in zip(tensors, numbers.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))
