"""Define the settings of a run, which are validated when they are made."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.rl.settings import (
    BOOL,
    NON_NEGATIVE,
    NONEMPTY_TEXT,
    OPTIONAL_TEXT,
    POSITIVE,
    REWARD_FN,
    SEED,
    TEXT,
    integer_from,
    setting,
)
from rlhf_course.rl.types import RewardFn

if TYPE_CHECKING:  # the command line shows these settings without loading torch
    from torch import Tensor


def zero_reward(generated_sample: list[str]) -> "Tensor":
    """Return a reward of 0 for every text, so that only the KL penalty and the entropy bonus act on the policy."""
    import torch  # deferred: the settings are read without torch

    return torch.zeros(len(generated_sample))


@dataclass
class RLHFArgs:
    """Settings of one RLHF run.

    Each field's description is its help on the command line.

    Raises:
        CourseError: A field has a value that it cannot take; the message names the field and what it takes. A
            CourseError is a ValueError.
    """

    seed: int = setting(1, SEED, "seed of every source of randomness")
    use_wandb: bool = setting(False, BOOL, "also record the run in Weights & Biases")
    wandb_project_name: str = setting("RLHF", NONEMPTY_TEXT, "project in Weights & Biases")
    wandb_entity: str | None = setting(None, OPTIONAL_TEXT, "user or team in Weights & Biases that owns the project")

    # The length of the run
    total_phases: int = setting(
        100, integer_from(1), "number of phases; a phase is one rollout and the learning from it"
    )
    batch_size: int = setting(128, integer_from(1), "number of texts in a rollout")
    num_minibatches: int = setting(
        4, integer_from(1), "number of minibatches in a pass over a rollout, each one optimizer step"
    )
    batches_per_learning_phase: int = setting(2, integer_from(1), "number of passes over a rollout")

    # Optimizer and schedule
    base_lr: float = setting(2e-5, NON_NEGATIVE, "learning rate of the transformer")
    head_lr: float = setting(5e-4, NON_NEGATIVE, "learning rate of the value head")
    max_grad_norm: float = setting(1.0, POSITIVE, "the gradient is clipped to this norm")
    warmup_steps: int = setting(
        20, integer_from(0), "number of phases in which the learning rates rise; they are 0 in the first of them"
    )
    final_scale: float = setting(0.1, NON_NEGATIVE, "factor of the learning rates at the end of the run")

    # PPO's objective
    clip_coef: float = setting(0.2, POSITIVE, "PPO's ratio is clipped to 1 - clip_coef and 1 + clip_coef")
    vf_coef: float = setting(0.15, NON_NEGATIVE, "weight of the value loss")
    ent_coef: float = setting(0.001, NON_NEGATIVE, "weight of the entropy bonus")

    # The model and its sampling
    base_model: str = setting(
        "gpt2-small",
        NONEMPTY_TEXT,
        "embedded, smollm2-135m, gpt2-small, gpt2-medium, pythia-14m, a Hugging Face id or a folder",
    )
    gen_len: int = setting(30, integer_from(1), "number of tokens to generate")
    temperature: float = setting(1.0, POSITIVE, "logits are divided by this when tokens are sampled")
    top_k: int = setting(10, integer_from(1), "number of likeliest tokens that are sampled from")
    prefix: str = setting("This is", TEXT, "text that every sample starts with")
    prepend_bos: bool = setting(True, BOOL, "start every sample with the beginning-of-sequence token")

    # The reward and the KL penalty
    kl_coef: float = setting(2.5, NON_NEGATIVE, "weight of the KL penalty")
    reward_fn: RewardFn = field(
        default=zero_reward,
        metadata={"validator": REWARD_FN, "help": "function from texts to a float tensor of their number"},
    )
    normalize_reward: bool = setting(True, BOOL, "normalise the rewards over the batch")

    def __post_init__(self) -> None:
        for attribute in fields(self):
            validator, value = attribute.metadata["validator"], getattr(self, attribute.name)
            if not validator.accepts(value):
                raise CourseError(f"{attribute.name} takes {validator.description}, got {value!r}")
        if self.batch_size % self.num_minibatches:
            raise CourseError(
                f"batch_size takes a multiple of num_minibatches, got {self.batch_size} and {self.num_minibatches}"
            )
        if self.total_phases <= self.warmup_steps:
            raise CourseError(
                f"total_phases takes a number above warmup_steps ({self.warmup_steps}), got {self.total_phases}"
            )
        if not self.prefix and not self.prepend_bos:
            raise CourseError("prefix takes some text when prepend_bos is False, got '': the first token needs a state")

    @property
    def minibatch_size(self) -> int:
        """The number of sequences in one optimizer step."""
        return self.batch_size // self.num_minibatches

    @classmethod
    def for_profile(cls, name: str = "auto", run: str = "periods", **overrides: Any) -> "RLHFArgs":
        """Return the settings of a named run on a kind of machine.

        Args:
            name: "laptop" (embedded model), "gpu" (gpt2-small), "gpu-fast" (the same, compiled and rounded to
                bfloat16), "gpu-large" (gpt2-medium), or "auto": "gpu" where there is an accelerator, else "laptop".
            run: "collapse", "periods", "sentiment", or "overoptimise", whose reward the caller passes.
            overrides: Fields, which take precedence over those of the profile and the run.

        Raises:
            CourseError: There is no such profile, run or field, or a field cannot take its value.
        """
        from rlhf_course.rl.profiles import settings_of  # deferred: it loads torch

        known = {attribute.name for attribute in fields(cls)}
        if unknown := sorted(set(overrides) - known):
            raise CourseError(f"RLHFArgs has no field {', '.join(unknown)}; its fields are {', '.join(sorted(known))}")
        return cls(**{**settings_of(name, run), **overrides})
