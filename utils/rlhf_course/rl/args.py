"""The settings of a run, checked when they are made."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError

if TYPE_CHECKING:  # the command line shows these settings without loading torch
    from torch import Tensor

# From texts to a float tensor of their number.
RewardFn = Callable[[list[str]], "Tensor"]


def zero_reward(generated_sample: list[str]) -> "Tensor":
    """No reward for any text: the default, which leaves the policy to the KL penalty and the entropy bonus."""
    import torch

    return torch.zeros(len(generated_sample))


@dataclass
class RLHFArgs:
    """Settings of one RLHF run.

    Attributes:
        seed: where randomness starts
        use_wandb: record the run in Weights & Biases too
        wandb_project_name: its project there
        wandb_entity: its team there
        total_phases: phases to train for; a phase is one rollout and the learning from it
        batch_size: texts in a rollout
        num_minibatches: optimizer steps that a pass over a rollout is cut into
        batches_per_learning_phase: passes over a rollout
        base_lr: learning rate of the transformer
        head_lr: learning rate of the value head
        max_grad_norm: norm that the gradient is clipped to
        warmup_steps: phases in which the learning rates rise; they are 0 in the first of them
        final_scale: what the learning rates are multiplied by at the end
        clip_coef: how far PPO's ratio may leave 1
        vf_coef: weight of the value loss
        ent_coef: weight of the entropy bonus
        base_model: embedded, smollm2-135m, gpt2-small, gpt2-medium, pythia-14m, a Hugging Face id or a folder
        gen_len: tokens to generate
        temperature: what logits are divided by when sampling
        top_k: how many of the likeliest tokens may be sampled
        prefix: what every text starts with
        prepend_bos: start with the beginning-of-sequence token
        kl_coef: weight of the KL penalty
        reward_fn: from texts to a float tensor of their number
        normalize_reward: normalise rewards over the batch

    Raises:
        CourseError: a field has a value it cannot take; the message names the field and what it takes. (A ValueError.)
    """

    seed: int = 1
    use_wandb: bool = False
    wandb_project_name: str = "RLHF"
    wandb_entity: str | None = None

    # How long
    total_phases: int = 100
    batch_size: int = 128
    num_minibatches: int = 4
    batches_per_learning_phase: int = 2

    # Optimizer and schedule
    base_lr: float = 2e-5
    head_lr: float = 5e-4
    max_grad_norm: float = 1.0
    warmup_steps: int = 20
    final_scale: float = 0.1

    # PPO's objective
    clip_coef: float = 0.2
    vf_coef: float = 0.15
    ent_coef: float = 0.001

    # The model, and how it is sampled
    base_model: str = "gpt2-small"
    gen_len: int = 30
    temperature: float = 1.0
    top_k: int = 10
    prefix: str = "This is"
    prepend_bos: bool = True

    # What makes it RLHF
    kl_coef: float = 2.5
    reward_fn: RewardFn = zero_reward
    normalize_reward: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            takes, is_right = _TAKES[field.name]
            if not is_right(getattr(self, field.name)):
                raise CourseError(f"{field.name} takes {takes}, got {getattr(self, field.name)!r}")
        if self.batch_size % self.num_minibatches:
            raise CourseError(
                f"batch_size takes a multiple of num_minibatches, got {self.batch_size} and {self.num_minibatches}"
            )
        if self.total_phases <= self.warmup_steps:
            raise CourseError(
                f"total_phases takes more phases than warmup_steps, got {self.total_phases} and {self.warmup_steps}"
            )
        if not self.prefix and not self.prepend_bos:
            raise CourseError("prefix takes some text when prepend_bos is False, got '': the first token needs a state")

    @property
    def minibatch_size(self) -> int:
        """Sequences in one optimizer step."""
        return self.batch_size // self.num_minibatches

    @classmethod
    def for_profile(cls, name: str = "auto", run: str = "periods", **overrides: Any) -> "RLHFArgs":
        """Settings of a named run on a kind of machine.

        Args:
            name: "laptop" (embedded model), "gpu" (gpt2-small), "gpu-fast" (the same, compiled and rounded to bfloat16),
                "gpu-large" (gpt2-medium), or "auto", which looks whether there is a GPU.
            run: "collapse", "periods" or "sentiment".
            overrides: fields that win over the profile's and the run's.

        Raises:
            CourseError: no such profile, run or field, or a value that a field cannot take.
        """
        from rlhf_course.rl.profiles import settings_of

        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(overrides) - known):
            raise CourseError(f"RLHFArgs has no field {', '.join(unknown)}; its fields are {', '.join(sorted(known))}")
        return cls(**{**settings_of(name, run), **overrides})


def _whole(least: int) -> tuple[str, Callable[[Any], bool]]:
    return (
        f"a whole number of at least {least}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_FLAG = ("True or False", lambda v: isinstance(v, bool))
_POSITIVE = ("a number above 0", lambda v: _is_number(v) and v > 0)
_NOT_NEGATIVE = ("a number of at least 0", lambda v: _is_number(v) and v >= 0)
_NAME = ("a text that is not empty", lambda v: isinstance(v, str) and bool(v.strip()))

# What each field takes, in words and as a predicate.
_TAKES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("a whole number from 0 to 2**64 - 1", lambda v: _whole(0)[1](v) and v < 2**64),
    "use_wandb": _FLAG,
    "wandb_project_name": _NAME,
    "wandb_entity": ("a text that is not empty, or None", lambda v: v is None or _NAME[1](v)),
    "total_phases": _whole(1),
    "batch_size": _whole(1),
    "num_minibatches": _whole(1),
    "batches_per_learning_phase": _whole(1),
    "base_lr": _NOT_NEGATIVE,
    "head_lr": _NOT_NEGATIVE,
    "max_grad_norm": _POSITIVE,
    "warmup_steps": _whole(0),
    "final_scale": _NOT_NEGATIVE,
    "clip_coef": _POSITIVE,
    "vf_coef": _NOT_NEGATIVE,
    "ent_coef": _NOT_NEGATIVE,
    "base_model": _NAME,
    "gen_len": _whole(1),
    "temperature": _POSITIVE,
    "top_k": _whole(1),
    "prefix": ("a text", lambda v: isinstance(v, str)),
    "prepend_bos": _FLAG,
    "kl_coef": _NOT_NEGATIVE,
    "reward_fn": ("a function from a list of texts to a float tensor of their number", callable),
    "normalize_reward": _FLAG,
}
