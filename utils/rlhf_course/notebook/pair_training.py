"""Make the trainers of the runs that learn from pairs, for the notebooks."""

from typing import TYPE_CHECKING, Any

from rlhf_course.notebook.short_runs import shortened

if TYPE_CHECKING:  # torch is loaded when a trainer is made
    from rlhf_course.rl.preferences.pairs import Pair
    from rlhf_course.rl.preferences.trainer import PairTrainer

# What makes a run short.
_SHORT = {"pairs": 32, "held_out": 16, "epochs": 1}


def pair_trainer(run: str, pairs: "tuple[list[Pair], list[Pair]] | None" = None, **overrides: Any) -> "PairTrainer":
    """Return a trainer that learns from pairs; its `train` trains, and returns the run's folder.

    Args:
        run: "reward_model" or "dpo".
        pairs: The pairs to learn from and the held-out ones; None for new ones, as the settings describe them.
        overrides: Fields of `PairArgs` that take the place of the run's.

    Raises:
        CourseError: There is no such run or field, or a field cannot take its value.
    """
    from rlhf_course.rl.phase_runs import phase_trainer
    from rlhf_course.rl.preferences.args import PairArgs

    args = PairArgs.for_run(run, **shortened(overrides, _SHORT))
    trainer: PairTrainer = phase_trainer(run, args, pairs)
    return trainer
