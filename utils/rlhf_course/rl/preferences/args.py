"""Define the settings of training on pairs, which are validated when they are made."""

from dataclasses import dataclass
from typing import Any

from rlhf_course.rl.settings import (
    NON_NEGATIVE,
    NONEMPTY_TEXT,
    OPTIONAL_TEXT,
    POSITIVE,
    SEED,
    SENTIMENT_PREFIX,
    RunArgs,
    integer_from,
    setting,
)

# The runs that learn from pairs, with the fields that each sets.
PAIR_RUNS: dict[str, dict[str, Any]] = {
    "reward_model": {},
    "dpo": {"pairs": 1000, "base_lr": 2e-4, "weight_decay": 0.01},
}


@dataclass
class PairArgs(RunArgs):
    """Settings of a reward model, and of DPO.

    Raises:
        CourseError: A field has a value that it cannot take; the message names the field and what it takes.
    """

    RUNS = PAIR_RUNS

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

    @property
    def total_phases(self) -> int:
        """The number of phases, each of which is an optimizer step."""
        return self.epochs * -(-self.pairs // self.batch_size)

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate in a step: it rises linearly, then falls linearly to `final_scale`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.total_phases - self.warmup_steps)
        return 1 - (1 - self.final_scale) * min(1.0, progress)
