"""Self-check of `get_optimizer`."""

from typing import Any

import torch
from torch import nn

from rlhf_course.checks.core import Case, Check, Observation
from rlhf_course.checks.tiny import fill

HINTS = (
    "The transformer is pretrained and wants small steps; the value head starts from nothing and wants large ones. An "
    "optimizer takes groups of parameters, each with settings of its own.",
    "The first argument of `torch.optim.AdamW` may be a list of two dicts, each with the keys 'params' and 'lr'. The model "
    "lists its parameters by `get_base_model_trainable_params()` and `get_value_head_params()`.",
    "Make the two dicts, one with the transformer's parameters and base_lr, one with the head's and head_lr; hand the list to "
    "`torch.optim.AdamW`, and tell it by a keyword that it maximises, since the objective is to be ascended.",
)


class _TwoParts(nn.Module):
    """As much of a model with a value head as an optimizer needs."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"body": nn.Linear(2, 3), "unused": nn.Linear(2, 2)})
        self.base_model["unused"].requires_grad_(False)
        self.value_head = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 1))

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        return list(self.base_model["body"].parameters())

    def get_value_head_params(self) -> list[nn.Parameter]:
        return list(self.value_head.parameters())


def _observe(get_optimizer: Any, inputs: dict[str, float]) -> Observation:
    model = _TwoParts()
    fill(model.parameters(), seed=8)
    parts = {"transformer": model.get_base_model_trainable_params(), "value head": model.get_value_head_params()}
    optimizer = get_optimizer(model, *inputs.values())
    seen = _groups(optimizer, parts)
    return {**seen, **_two_steps(optimizer, parts)}


def _groups(optimizer: Any, parts: dict[str, list[nn.Parameter]]) -> Observation:
    if not isinstance(optimizer, torch.optim.Optimizer):
        return {"type": type(optimizer).__name__}
    part_of = {id(parameter): part for part, parameters in parts.items() for parameter in parameters}
    kind = "AdamW" if isinstance(optimizer, torch.optim.AdamW) else type(optimizer).__name__
    seen: Observation = {"type": kind, "number of groups": len(optimizer.param_groups)}
    for part, parameters in parts.items():
        groups = [
            group for group in optimizer.param_groups if any(part_of.get(id(one)) == part for one in group["params"])
        ]
        held = [id(one) for group in groups for one in group["params"] if part_of.get(id(one)) == part]
        seen[f"parameters of the {part} in it"] = f"{len(held)} of {len(parameters)}"
        seen[f"lr of the {part}"] = [float(group["lr"]) for group in groups]
        seen[f"maximize for the {part}"] = all(group.get("maximize", False) for group in groups)
        seen[f"weight decay of the {part}"] = [float(group.get("weight_decay", 0.0)) for group in groups]
    return seen


def _two_steps(optimizer: Any, parts: dict[str, list[nn.Parameter]]) -> Observation:
    """How far each part moves along its gradient; from zero, so that weight decay has nothing to take."""
    if not hasattr(optimizer, "step"):
        return {}
    for parameters in parts.values():
        for parameter in parameters:
            parameter.detach().zero_()
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.step()
    moved = {
        part: torch.cat([one.detach().flatten() for one in parameters]).mean() for part, parameters in parts.items()
    }
    return {f"steps that the {part} goes up its gradient, times 1000": 1000 * one for part, one in moved.items()}


CASES = {
    "defaults": Case("base_lr = 2e-05, head_lr = 0.0005", {"base_lr": 2e-5, "head_lr": 5e-4}),
    "other rates": Case("base_lr = 0.03, head_lr = 0.007", {"base_lr": 0.03, "head_lr": 0.007}),
}
CHECK = Check("get_optimizer", CASES, _observe, atol=1e-8)


def test_each_part_is_in_a_group_with_its_own_rate_and_goes_up(get_optimizer):
    CHECK.require(get_optimizer, "defaults")


def test_rates_are_those_that_were_passed(get_optimizer):
    CHECK.require(get_optimizer, "other rates")
