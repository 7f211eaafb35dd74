"""Drivers of `get_optimizer`: what the optimizer does to a small model that has two parts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rlhf_course.grading.drivers.plain import flat, plain

# Numbers that each part of the model holds.
SIZES = {"base": 9, "head": 61}
_WIDTH = 3


class _TwoParts(nn.Module):
    """As much of a model with a value head as an optimizer needs; a frozen layer belongs to no group."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"body": nn.Linear(2, width), "frozen": nn.Linear(2, 2)})
        self.base_model["frozen"].requires_grad_(False)
        self.value_head = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1))

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        return list(self.base_model["body"].parameters())

    def get_value_head_params(self) -> list[nn.Parameter]:
        return list(self.value_head.parameters())


def steps(
    answer: Any,
    base: Tensor,
    head: Tensor,
    gradients: Sequence[Sequence[Tensor]],
    base_lr: float,
    head_lr: float,
    factors: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Make the optimizer and step it once for each pair of gradients.

    Args:
        answer: the learner's function.
        base, head: what the transformer's parameters and the head's start as, each part as one vector of `SIZES`.
        gradients: for each step the gradients of both parts, as vectors.
        base_lr, head_lr: passed to the answer.
        factors: what a schedule multiplies the rates by in each step; no schedule where None.

    Returns: the classes of the optimizer (`kind`), how many groups hold each part, how often each parameter of each part is held,
    and both parts after each step.
    """
    model = _TwoParts(_WIDTH)
    parts = {"base": model.get_base_model_trainable_params(), "head": model.get_value_head_params()}
    for parameters, numbers in zip(parts.values(), (base, head), strict=True):
        _write(parameters, numbers)
    optimizer = answer(model, base_lr, head_lr)
    if not isinstance(optimizer, Optimizer):
        return {"kind": [type(optimizer).__name__]}
    scheduler = None if factors is None else LambdaLR(optimizer, lambda step: [*factors, 1.0][step])
    after: list[dict[str, Tensor]] = []
    for pair in gradients:
        for parameters, numbers in zip(parts.values(), pair, strict=True):
            _write([_gradient_of(one) for one in parameters], numbers)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        after.append({name: flat(parameters) for name, parameters in parts.items()})
    return plain(
        {"kind": [one.__name__ for one in type(optimizer).__mro__], **_groups(optimizer, parts), "after": after}
    )


def _gradient_of(parameter: nn.Parameter) -> Tensor:
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _write(tensors: Sequence[Tensor], numbers: Tensor) -> None:
    with torch.no_grad():
        for tensor, part in zip(tensors, numbers.split([one.numel() for one in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))


def _groups(optimizer: Optimizer, parts: dict[str, list[nn.Parameter]]) -> dict[str, Any]:
    held = [[id(one) for one in group["params"]] for group in optimizer.param_groups]
    times = {
        name: [sum(group.count(id(one)) for group in held) for one in parameters] for name, parameters in parts.items()
    }
    groups = {
        name: sum(any(id(one) in group for one in parameters) for group in held) for name, parameters in parts.items()
    }
    shared = any(all(any(id(one) in group for one in parameters) for parameters in parts.values()) for group in held)
    return {"times": times, "groups": groups, "shared": shared}
