"""Name, start and resume the runs of parts 2 and 3, whose trainers extend `PhaseTrainer`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.policy_gradients.args import TASK_RUNS, TaskArgs
from rlhf_course.rl.preferences.args import PAIR_RUNS, PairArgs
from rlhf_course.rl.settings import RunArgs

if TYPE_CHECKING:  # the command line reads the names without loading torch
    from rlhf_course.rl.run_folder import RunFolder

# The runs by name, with the class of their settings.
PHASE_RUNS: dict[str, type[RunArgs]] = {**dict.fromkeys(PAIR_RUNS, PairArgs), **dict.fromkeys(TASK_RUNS, TaskArgs)}


def phase_trainer(run: str, args: Any, *inputs: Any) -> Any:
    """Return the trainer of a run, a `PhaseTrainer`.

    Args:
        run: The name of the run.
        args: Its settings.
        inputs: What its trainer takes besides: pairs, or a model.
    """
    return _trainer_class(run)(args, *inputs)


def exercises_of_run(run: str) -> tuple[str, ...]:
    """Return the exercises whose answers a run calls."""
    if run in ("grpo", "broken_verifier"):
        from rlhf_course.rl.policy_gradients.group_trainer import GroupTrainer  # deferred: it loads torch

        return GroupTrainer.exercises
    exercises: tuple[str, ...] = _trainer_class(run).exercises
    return exercises


def _trainer_class(run: str) -> Any:
    """Return the class of a run's trainer; modules are imported when they are needed, since they load torch."""
    if run == "reward_model":
        from rlhf_course.rl.preferences.reward_model import RewardModelTrainer

        return RewardModelTrainer
    if run == "dpo":
        from rlhf_course.rl.preferences.dpo import DPOTrainer

        return DPOTrainer
    if run == "sft":
        from rlhf_course.rl.policy_gradients.sft import SFTTrainer

        return SFTTrainer
    if run == "expert_iteration":
        from rlhf_course.rl.policy_gradients.expert_iteration import ExpertIterationTrainer

        return ExpertIterationTrainer
    return imported_answer("GRPOTrainer")


def start_phase_run(run: str, out: Path | None, given: dict[str, Any]) -> "RunFolder":
    """Start a run.

    Args:
        run: The name of the run.
        out: The run's folder, or None for a new one in `runs/`.
        given: Fields of its settings, which take precedence over the run's.

    Raises:
        CourseError: A setting has a wrong value, or the folder is in use.
    """
    folder: RunFolder = phase_trainer(run, PHASE_RUNS[run].for_run(run, **given)).train(out)
    return folder


def resume_phase_run(path: Path) -> "RunFolder":
    """Resume a run in its own folder.

    Raises:
        CourseError: The folder does not hold a complete run, or its reward is a function that no name stands for.
    """
    from rlhf_course.rl.models import load_model  # deferred: it loads torch
    from rlhf_course.rl.preferences.pairs import read_pairs
    from rlhf_course.rl.run_folder import load_config

    config = load_config(path)
    run = config["kind"]
    if config.get("given_verifier"):
        raise CourseError(
            f"{path} was trained with a verifier of its own, which no setting names: resume it where it was made, with "
            "`train(path, resume=True)` of the same trainer"
        )
    try:
        args: Any = PHASE_RUNS[run](**config["args"])
    except TypeError as error:
        raise CourseError(f"{path / 'config.json'} was not written by this version of the course: {error}") from error
    if run in PAIR_RUNS:
        inputs: Any = read_pairs(path / "pairs.jsonl"), read_pairs(path / "held_out.jsonl")
    else:
        inputs = load_model(args.base_model)
    folder: RunFolder = phase_trainer(run, args, inputs).train(path, resume=True)
    return folder
