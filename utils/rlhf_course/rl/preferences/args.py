"""Define the settings of training on pairs, which are validated when they are made."""

from dataclasses import dataclass, fields
from typing import Any, Self

from rlhf_course.errors import CourseError
from rlhf_course.rl.settings import (
    NON_NEGATIVE,
    NONEMPTY_TEXT,
    OPTIONAL_TEXT,
    POSITIVE,
    SEED,
    SENTIMENT_PREFIX,
    integer_from,
    setting,
)

# The runs that learn from pairs, with the fields that each sets.
PAIR_RUNS: dict[str, dict[str, Any]] = {
    "reward_model": {},
    "dpo": {"pairs": 1000, "base_lr": 2e-4, "weight_decay": 0.01},
}


@dataclass
class PairArgs:
    """Settings of a reward model, and of DPO.

    Raises:
        CourseError: A field has a value that it cannot take; the message names the field and what it takes.
    """

    seed: int = setting(1, SEED, "seed of every source of randomness")
    base_model: str = setting("embedded", NONEMPTY_TEXT, "the model that is trained, as for `RLHFArgs`")

    # The pairs
    pairs_file: str | None = setting(
        None, OPTIONAL_TEXT, "a pairs.jsonl to learn from; by default pairs are sampled and labelled"
    )
    pairs: int = setting(500, integer_from(1), "number of pairs to learn from")
    held_out: int = setting(500, integer_from(1), "number of sampled pairs to measure accuracy on")
    prefix: str = setting(SENTIMENT_PREFIX, NONEMPTY_TEXT, "the prompt of sampled pairs")
    gen_len: int = setting(24, integer_from(1), "number of tokens of a sampled completion")
    label_temperature: float = setting(1.0, POSITIVE, "how often the simulated labeller errs")

    # Optimizer and schedule
    epochs: int = setting(2, integer_from(1), "number of passes over the pairs")
    batch_size: int = setting(32, integer_from(1), "number of pairs in an optimizer step")
    base_lr: float = setting(3e-4, NON_NEGATIVE, "learning rate")
    weight_decay: float = setting(0.1, NON_NEGATIVE, "weight decay of AdamW")
    max_grad_norm: float = setting(1.0, POSITIVE, "the gradient is clipped to this norm")
    warmup_steps: int = setting(5, integer_from(0), "number of steps in which the learning rate rises")
    final_scale: float = setting(0.1, NON_NEGATIVE, "factor of the learning rate at the end")
    beta: float = setting(0.1, POSITIVE, "DPO's weight of the log-ratios")

    def __post_init__(self) -> None:
        for field in fields(self):
            validator, value = field.metadata["validator"], getattr(self, field.name)
            if not validator.accepts(value):
                raise CourseError(f"{field.name} takes {validator.description}, got {value!r}")

    @classmethod
    def for_run(cls, run: str, **overrides: Any) -> Self:
        """Return the settings of a run, "reward_model" or "dpo"; fields that are given take precedence.

        Raises:
            CourseError: There is no such run or field, or a field cannot take its value.
        """
        if run not in PAIR_RUNS:
            raise CourseError(f"run takes {' or '.join(PAIR_RUNS)}, got {run!r}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(overrides) - known):
            raise CourseError(f"--run {run} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**{**PAIR_RUNS[run], **overrides})

    @property
    def steps(self) -> int:
        """The number of optimizer steps."""
        return self.epochs * -(-self.pairs // self.batch_size)

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate in a step: it rises linearly, then falls linearly to `final_scale`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return 1 - (1 - self.final_scale) * min(1.0, progress)
