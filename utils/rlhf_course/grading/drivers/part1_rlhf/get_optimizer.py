"""Drive `get_optimizer`: step its optimizer on a small model that has two parts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rlhf_course.grading.drivers.plain import flat, plain

# The number of parameters in each part of the model.
SIZES = {"base": 9, "head": 61}
_WIDTH = 3


class _TwoParts(nn.Module):
    """A small model with the methods of a model with a value head that an optimizer needs, and a frozen layer."""

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
    """Make the optimizer, and step it once for each pair of gradients.

    Args:
        answer: The learner's function.
        base: The start of the transformer's parameters, a vector of length `SIZES["base"]`.
        head: The start of the head's parameters, a vector of length `SIZES["head"]`.
        gradients: For each step the gradients of both parts, as such vectors.
        base_lr: The learning rate of the transformer, which is passed to the answer.
        head_lr: The learning rate of the head, which is passed to the answer.
        factors: The factors by which a schedule multiplies the learning rates in each step; None runs no schedule.

    Returns:
        `kind`, the names of the optimizer's classes; `groups`, the number of parameter groups that hold each part;
        `shared`, whether a group holds parameters of both parts; `times`, how often each parameter of each part is in a
        group; and `after`, both parts after each step. Only `kind` if the answer does not return an optimizer.
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
            _write([_new_gradient(parameter) for parameter in parameters], numbers)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        after.append({name: flat(parameters) for name, parameters in parts.items()})
    kind = [cls.__name__ for cls in type(optimizer).__mro__]
    observations: dict[str, Any] = plain({"kind": kind, **_groups(optimizer, parts), "after": after})
    return observations


def _new_gradient(parameter: nn.Parameter) -> Tensor:
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _write(tensors: Sequence[Tensor], numbers: Tensor) -> None:
    """Write a vector to tensors, one after the other."""
    with torch.no_grad():
        for tensor, part in zip(tensors, numbers.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))


def _groups(optimizer: Optimizer, parts: dict[str, list[nn.Parameter]]) -> dict[str, Any]:
    """Return how the optimizer's parameter groups hold the parts; see `steps`."""
    group_ids = [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    part_ids = {name: [id(parameter) for parameter in parameters] for name, parameters in parts.items()}
    times = {name: [sum(group.count(key) for group in group_ids) for key in keys] for name, keys in part_ids.items()}
    groups = {name: sum(not set(keys).isdisjoint(group) for group in group_ids) for name, keys in part_ids.items()}
    shared = any(all(not set(keys).isdisjoint(group) for keys in part_ids.values()) for group in group_ids)
    return {"times": times, "groups": groups, "shared": shared}
