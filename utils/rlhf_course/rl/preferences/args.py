"""Define the settings of training on pairs, which are validated when they are made."""

from dataclasses import dataclass, fields
from typing import Any, Self

from rlhf_course.errors import CourseError
from rlhf_course.rl.args import SENTIMENT_PREFIX, VALIDATORS, setting

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

    seed: int = setting(1, VALIDATORS["seed"], "seed of every source of randomness")
    base_model: str = setting("embedded", VALIDATORS["nonempty text"], "the model that is trained, as for `RLHFArgs`")

    # The pairs
    pairs_file: str | None = setting(
        None, VALIDATORS["optional text"], "a pairs.jsonl to learn from; by default pairs are sampled and labelled"
    )
    pairs: int = setting(500, VALIDATORS["positive integer"], "number of pairs to learn from")
    held_out: int = setting(500, VALIDATORS["positive integer"], "number of sampled pairs to measure accuracy on")
    prefix: str = setting(SENTIMENT_PREFIX, VALIDATORS["nonempty text"], "the prompt of sampled pairs")
    gen_len: int = setting(24, VALIDATORS["positive integer"], "number of tokens of a sampled completion")
    label_temperature: float = setting(1.0, VALIDATORS["positive"], "how often the simulated labeller errs")

    # Optimizer and schedule
    epochs: int = setting(2, VALIDATORS["positive integer"], "number of passes over the pairs")
    batch_size: int = setting(32, VALIDATORS["positive integer"], "number of pairs in an optimizer step")
    base_lr: float = setting(3e-4, VALIDATORS["non-negative"], "learning rate")
    weight_decay: float = setting(0.1, VALIDATORS["non-negative"], "weight decay of AdamW")
    max_grad_norm: float = setting(1.0, VALIDATORS["positive"], "the gradient is clipped to this norm")
    warmup_steps: int = setting(5, VALIDATORS["natural"], "number of steps in which the learning rate rises")
    final_scale: float = setting(0.1, VALIDATORS["non-negative"], "factor of the learning rate at the end")
    beta: float = setting(0.1, VALIDATORS["positive"], "DPO's weight of the log-ratios")

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
