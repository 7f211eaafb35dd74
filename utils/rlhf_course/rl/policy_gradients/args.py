"""Define the settings of the runs on tasks whose answers can be checked, validated when they are made."""

from dataclasses import dataclass
from typing import Any, Self

from rlhf_course.rl.policy_gradients.tasks import TASKS
from rlhf_course.rl.settings import (
    BOOL,
    NON_NEGATIVE,
    NONEMPTY_TEXT,
    OPTIONAL_TEXT,
    POSITIVE,
    SEED,
    RunArgs,
    Validator,
    integer_from,
    one_of,
    setting,
)

# The runs on a task, with the fields that each sets.
TASK_RUNS: dict[str, dict[str, Any]] = {
    "sft": {"total_phases": 30, "base_lr": 1e-3, "evaluation_interval": 10},
    "grpo": {},
    "expert_iteration": {"total_phases": 10, "base_lr": 3e-4, "prompts": 160, "evaluation_interval": 1},
    "broken_verifier": {"total_phases": 15, "verifier": "broken"},
}
# The learning rates for other models than the embedded one, which is far smaller than those and needs larger steps.
OTHER_MODELS_LR = {"sft": 1e-4, "grpo": 1e-5, "expert_iteration": 3e-5, "broken_verifier": 1e-5}
BASELINES = ("group", "leave_one_out")
VERIFIERS = ("right", "broken")
AGGREGATIONS = ("sequence_mean", "token_mean", "constant")
_BELOW_ONE = Validator("a number of at least 0 and at most 1", lambda value: NON_NEGATIVE.accepts(value) and value <= 1)


@dataclass
class TaskArgs(RunArgs):
    """Settings of supervised fine-tuning, GRPO and expert iteration on a task.

    Raises:
        CourseError: A field has a value that it cannot take; the message names the field and what it takes.
    """

    RUNS = TASK_RUNS

    seed: int = setting(1, SEED, "seed of every source of randomness")
    base_model: str = setting("embedded", NONEMPTY_TEXT, "the model that is trained, as for `RLHFArgs`")
    task: str = setting("sorting", one_of(TASKS), "the task: " + " or ".join(TASKS))
    digits: int = setting(4, integer_from(1), "number of digits of a prompt of sorting; those of even have 3 to 6")
    start: str | None = setting(
        None, OPTIONAL_TEXT, "a run of --run sft to start from; by default the demonstrations are learnt first"
    )
    total_phases: int = setting(50, integer_from(1), "number of phases; of sft, optimizer steps")

    verifier: str = setting("right", one_of(VERIFIERS), "the verifier that gives the reward: " + " or ".join(VERIFIERS))

    # Supervised fine-tuning
    demonstrations: int = setting(600, integer_from(1), "number of demonstrations that sft learns from")
    batch_size: int = setting(64, integer_from(1), "number of demonstrations in an optimizer step")
    warmup_steps: int = setting(10, integer_from(0), "number of optimizer steps of sft in which its rate rises")

    # Sampling
    prompts: int = setting(32, integer_from(1), "number of prompts of a rollout")
    group_size: int = setting(8, integer_from(2), "number of completions of each prompt")
    max_new_tokens: int = setting(8, integer_from(1), "number of tokens after which a completion is cut off")

    # The loss
    baseline: str = setting("group", one_of(BASELINES), "what a reward is compared with: " + " or ".join(BASELINES))
    scale_by_std: bool = setting(True, BOOL, "divide by the group's standard deviation")
    aggregation: str = setting(
        "sequence_mean", one_of(AGGREGATIONS), "the weight of a token: " + ", ".join(AGGREGATIONS)
    )
    clip_low: float = setting(0.2, _BELOW_ONE, "how far the ratio may fall below 1")
    clip_high: float = setting(0.2, NON_NEGATIVE, "how far the ratio may rise above 1")

    # Optimizer
    base_lr: float = setting(2e-4, NON_NEGATIVE, "learning rate")
    steps_per_rollout: int = setting(2, integer_from(1), "number of optimizer steps on each rollout")
    max_grad_norm: float = setting(1.0, POSITIVE, "the gradient is clipped to this norm")

    # Measurement
    held_out: int = setting(200, integer_from(1), "number of prompts, never trained on, to measure accuracy on")
    evaluation_interval: int = setting(10, integer_from(1), "accuracy is measured after every so many phases")

    @classmethod
    def for_run(cls, run: str, **overrides: Any) -> Self:
        """Return the settings of a run; fields that are given take precedence.

        Another model than the embedded one gets a lower learning rate (`OTHER_MODELS_LR`).

        Raises:
            CourseError: There is no such run or field, or a field cannot take its value.
        """
        if run in OTHER_MODELS_LR and overrides.get("base_model", cls.base_model) != cls.base_model:
            overrides = {"base_lr": OTHER_MODELS_LR[run], **overrides}
        return super().for_run(run, **overrides)
