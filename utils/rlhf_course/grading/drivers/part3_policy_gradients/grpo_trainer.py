"""Drive `GRPOTrainer` on a GPT-2 of two layers, whose weights the judge chooses: rollouts, and losses of batches.

Each driver returns only `{"base class": False}` for an answer that does not extend `GroupTrainer`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any

from torch import Tensor

from rlhf_course.checks.layouts import slice_of_larger
from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.bridge_models import parameters_of_bridge, write_by_name
from rlhf_course.grading.drivers.plain import flat, plain, watched_args, watched_settings, watched_torch
from rlhf_course.rl import models
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.batch import GRPOBatch
from rlhf_course.rl.policy_gradients.group_trainer import GroupTrainer

FIELDS = tuple(field.name for field in fields(GRPOBatch))
Settings = Mapping[str, Any]
Weights = Mapping[str, Tensor]


def _for_trainers(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a driver run only answers that extend `GroupTrainer`, and return its result as plain data."""

    @wraps(function)
    def wrapper(answer: Any, **inputs: Any) -> dict[str, Any]:
        if not (isinstance(answer, type) and issubclass(answer, GroupTrainer)):
            return {"base class": False}
        observation: dict[str, Any] = plain(function(answer, **inputs))
        return observation

    return wrapper


def reward_of(character_rewards: Sequence[float], prompt: str, text: str) -> float:
    """Return the reward of a completion: a sum over its characters, in which each depends on its place and the prompt.

    Args:
        character_rewards: The table in which the reward of a character is looked up.
        prompt: The prompt.
        text: The completion.
    """
    size, start = len(character_rewards), sum(map(ord, prompt))
    places = (start + ord(character) * number for number, character in enumerate(text, 1))
    return float(sum(character_rewards[place % size] for place in places))


@_for_trainers
def rollouts(
    answer: Any, settings: Settings, character_rewards: Sequence[float], rollouts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Call `rollout` several times with one trainer.

    Args:
        answer: The learner's class.
        settings: The fields of `TaskArgs`.
        character_rewards: The verifier is `reward_of` with this table.
        rollouts: For each rollout `weights`, those of the policy by name, and `prompts`.

    Returns:
        `rollouts`: for each what `_fields` returns of the batch; `changed`, whether the list of prompts was changed;
        what `watched_settings` reports; and `args`, whether the settings are as they were.
    """
    trainer = _trainer(answer, settings, character_rewards)
    reports = []
    for phase, rollout in enumerate(rollouts):
        trainer.phase = phase
        write_by_name(parameters_of_bridge(trainer.model), rollout["weights"])
        prompts = list(rollout["prompts"])
        with watched_settings() as settings_report, watched_args(trainer) as args_report:
            batch = trainer.rollout(prompts)
        is_changed = prompts != list(rollout["prompts"])
        reports.append({**_fields(batch), "changed": is_changed, **settings_report, **args_report})
    return {"rollouts": reports}


@_for_trainers
def losses(
    answer: Any, settings: Settings, calls: Sequence[Mapping[str, Any]], character_rewards: Sequence[float] = (0.0, 1.0)
) -> dict[str, Any]:
    """Call `loss` several times with one trainer.

    Args:
        answer: The learner's class.
        settings: The fields of `TaskArgs`.
        calls: For each call `weights`, those of the policy by name; `batch`, the fields of the batch; and `prompts`: if
            there are any, a rollout of them is made first, under the same weights.
        character_rewards: As for `rollouts`.

    Returns:
        `calls`: for each call `loss`; `gradient`, that of the loss at the parameters in the order of the weights, as
        one vector, None if it does not depend on all; `batch`, what `_fields` returns of it after the call; what
        `watched_torch` reports; and `args`, whether the settings are as they were. After a rollout also `own`, what
        `_fields` returns of its batch, and `own loss`, the loss of that batch, None if a field is an inference tensor.
    """
    trainer = _trainer(answer, settings, character_rewards)
    parameters = parameters_of_bridge(trainer.model)
    reports = []
    for phase, call in enumerate(calls):
        trainer.phase = phase
        write_by_name(parameters, call["weights"])
        own = trainer.rollout(list(call["prompts"])) if call["prompts"] else None
        batch = GRPOBatch(**{name: slice_of_larger(tensor) for name, tensor in call["batch"].items()})
        for parameter in parameters.values():
            parameter.grad = None
        with watched_torch() as torch_report, watched_args(trainer) as args_report:
            result = trainer.loss(batch)
        if isinstance(result, Tensor) and result.numel() == 1 and result.requires_grad:
            result.reshape(()).backward()
        found = [parameters[name].grad for name in call["weights"]]
        gradient = None if any(part is None for part in found) else flat(found)
        report = {"loss": result, "gradient": gradient, "batch": _fields(batch), **torch_report, **args_report}
        if own is not None:
            fields = _fields(own)
            report |= {"own": fields, "own loss": None if fields["inference"] else trainer.loss(own)}
        reports.append(plain(report))
    return {"calls": reports}


def _fields(batch: Any) -> dict[str, Any]:
    """Return the fields of a batch as plain data, by name.

    Returns:
        Also `kind`, the name of its class; `attached`, the names of fields that require a gradient; and `inference`,
        whether a field is an inference tensor.
    """
    values = {name: getattr(batch, name, None) for name in FIELDS} if isinstance(batch, GRPOBatch) else {}
    attached = [name for name, value in values.items() if getattr(value, "requires_grad", False)]
    inference = any(isinstance(value, Tensor) and value.is_inference() for value in values.values())
    kind = type(batch).__name__
    report: dict[str, Any] = plain({**values, "kind": kind, "attached": attached, "inference": inference})
    return report


def _trainer(answer: Any, settings: Settings, character_rewards: Sequence[float]) -> Any:
    """Return a trainer on a tiny model, whose verifier is `reward_of`."""

    def verify(prompt: str, text: str) -> float:
        return reward_of(character_rewards, prompt, text)

    return answer(TaskArgs(**settings), model=models.load_model(gpt2_folder()), verify=verify)
