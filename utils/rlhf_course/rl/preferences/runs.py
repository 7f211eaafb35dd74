"""Start and resume the runs that learn from pairs."""

from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.dpo import DPOTrainer
from rlhf_course.rl.preferences.pairs import read_pairs
from rlhf_course.rl.preferences.reward_model import RewardModelTrainer
from rlhf_course.rl.preferences.trainer import PairTrainer
from rlhf_course.rl.run_folder import RunFolder, load_config

TRAINERS: dict[str, type[PairTrainer]] = {trainer.kind: trainer for trainer in (RewardModelTrainer, DPOTrainer)}


def start_pair_run(run: str, out: Path | None, given: dict[str, Any]) -> RunFolder:
    """Start a run that learns from pairs.

    Args:
        run: "reward_model" or "dpo".
        out: The run's folder, or None for a new one in `runs/`.
        given: Fields of `PairArgs`, which take precedence over the run's.

    Raises:
        CourseError: A setting has a wrong value, or the folder is in use.
    """
    return TRAINERS[run](PairArgs.for_run(run, **given)).train(out)


def resume_pair_run(path: Path) -> RunFolder:
    """Resume a run that learns from pairs, in its own folder.

    Raises:
        CourseError: The folder does not hold a complete run.
    """
    config = load_config(path)
    try:
        args = PairArgs(**config["args"])
    except TypeError as error:
        raise CourseError(f"{path / 'config.json'} was not written by this version of the course: {error}") from error
    pairs = read_pairs(path / "pairs.jsonl"), read_pairs(path / "held_out.jsonl")
    return TRAINERS[config["kind"]](args, pairs).train(path, resume=True)
