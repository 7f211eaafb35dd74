"""Self-check of `get_optimizer`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rlhf_course.checks.core import Answer, Case, Check, Observation
from rlhf_course.checks.tiny import fill

HINTS = (
    "The transformer is pretrained and needs small steps; the value head is new and needs large ones. An optimizer "
    "takes groups of parameters, each with its own settings.",
    "The first argument of `torch.optim.AdamW` may be a list of two dicts, each with the keys 'params' and 'lr'. The "
    "model lists its parameters with `get_base_model_trainable_params()` and `get_value_head_params()`.",
    "Make the two dicts, one with the transformer's parameters and base_lr, one with the head's and head_lr. Pass the "
    "list to `torch.optim.AdamW`, with the keyword that makes it maximise, since the objective is ascended.",
)


class _TwoParts(nn.Module):
    """A stand-in for the model with a value head that offers what an optimizer needs."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"body": nn.Linear(2, 3), "unused": nn.Linear(2, 2)})
        self.base_model["unused"].requires_grad_(False)
        self.value_head = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 1))

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        return list(self.base_model["body"].parameters())

    def get_value_head_params(self) -> list[nn.Parameter]:
        return list(self.value_head.parameters())


def _observe(get_optimizer: Answer, inputs: Mapping[str, Any]) -> Observation:
    model = _TwoParts()
    fill(model.parameters(), seed=8)
    parts = {"transformer": model.get_base_model_trainable_params(), "value head": model.get_value_head_params()}
    optimizer = get_optimizer(model, *inputs.values())
    return {**_observe_groups(optimizer, parts), **_observe_two_steps(optimizer, parts)}


def _observe_groups(optimizer: Any, parts: dict[str, list[nn.Parameter]]) -> Observation:
    if not isinstance(optimizer, torch.optim.Optimizer):
        return {"type": type(optimizer).__name__}
    type_name = "AdamW" if isinstance(optimizer, torch.optim.AdamW) else type(optimizer).__name__
    observation: Observation = {"type": type_name, "number of groups": len(optimizer.param_groups)}
    for part, parameters in parts.items():
        ids = {id(parameter) for parameter in parameters}
        groups = [
            group for group in optimizer.param_groups if any(id(parameter) in ids for parameter in group["params"])
        ]
        held = [parameter for group in groups for parameter in group["params"] if id(parameter) in ids]
        observation[f"parameters of the {part} in it"] = f"{len(held)} of {len(parameters)}"
        observation[f"lr of the {part}"] = [float(group["lr"]) for group in groups]
        observation[f"maximize for the {part}"] = all(group.get("maximize", False) for group in groups)
        observation[f"weight decay of the {part}"] = [float(group.get("weight_decay", 0.0)) for group in groups]
    return observation


def _observe_two_steps(optimizer: Any, parts: dict[str, list[nn.Parameter]]) -> Observation:
    """Observe how far two steps move each part; the parameters start at zero, where weight decay does nothing."""
    if not hasattr(optimizer, "step"):
        return {}
    for parameters in parts.values():
        for parameter in parameters:
            parameter.detach().zero_()
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.step()
    return {
        f"steps that the {part} goes up its gradient, times 1000": 1000
        * torch.cat([parameter.detach().flatten() for parameter in parameters]).mean()
        for part, parameters in parts.items()
    }


CASES = {
    "defaults": Case("base_lr = 2e-05, head_lr = 0.0005", {"base_lr": 2e-5, "head_lr": 5e-4}),
    "other rates": Case("base_lr = 0.03, head_lr = 0.007", {"base_lr": 0.03, "head_lr": 0.007}),
}
CHECK = Check("get_optimizer", CASES, _observe, atol=1e-8, is_called_with_inputs=False)


def test_each_part_is_in_a_group_with_its_own_rate_and_goes_up(get_optimizer: Answer) -> None:
    CHECK.require(get_optimizer, "defaults")


def test_rates_are_those_that_were_passed(get_optimizer: Answer) -> None:
    CHECK.require(get_optimizer, "other rates")
