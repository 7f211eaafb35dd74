"""Make the trainers of the runs on tasks whose answers can be checked, for the notebooks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.notebook.short_runs import shortened

if TYPE_CHECKING:  # torch is loaded when a trainer is made
    from rlhf_course.rl.policy_gradients.task_trainer import TaskTrainer

# What makes a run short.
_SHORT = {
    "total_phases": 2,
    "demonstrations": 64,
    "batch_size": 16,
    "prompts": 4,
    "group_size": 4,
    "held_out": 16,
    "evaluation_interval": 1,
}
# The runs whose reward is a verifier that the caller may replace.
_WITH_VERIFIER = ("grpo", "broken_verifier")


def task_trainer(
    run: str, model: Any = None, verify: Callable[[str, str], float] | None = None, **overrides: Any
) -> "TaskTrainer":
    """Return a trainer on a task; its `train` trains, and returns the run's folder.

    Args:
        run: "sft", "grpo", "expert_iteration" or "broken_verifier".
        model: The model to start from, which stays as it is: a copy is trained. None for the one that the settings
            describe: the base model for "sft", and the model that "sft" makes of it for the other runs.
        verify: Returns the reward of a prompt and a completion; None for the verifier that the settings name.
        overrides: Fields of `TaskArgs` that take the place of the run's.

    Raises:
        CourseError: There is no such run or field, a field cannot take its value, or the run takes no verifier.
    """
    from rlhf_course.rl.phase_runs import phase_trainer
    from rlhf_course.rl.policy_gradients.args import TaskArgs

    args = TaskArgs.for_run(run, **shortened(overrides, _SHORT))
    if verify is not None and run not in _WITH_VERIFIER:
        raise CourseError(f"verify is the reward of {' and '.join(_WITH_VERIFIER)}; {run} takes none")
    inputs = [_copied(model)] if verify is None else [_copied(model), verify]
    trainer: TaskTrainer = phase_trainer(run, args, *inputs)
    return trainer


def _copied(model: Any) -> Any:
    """Return a model of its own with the same weights."""
    from copy import deepcopy

    return None if model is None else deepcopy(model)
