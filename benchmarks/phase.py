"""Measure the time of a phase: `python benchmarks/phase.py [embedded|gpt2-shape]`

It compares the plain loop, the reference answers as a learner would write them, and the lean trainer, with the same
model, number and length of samples and number of optimizer steps. It also reports the rate of the matrix products in
the learning phase, the rate of a large one on the machine, and the seconds that the products of a phase take at that
rate, which is the least that a phase with these products can take.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import (
    GPT2_SMALL,
    REPEATS,
    Times,
    matmul_rate,
    measurement,
    ratios,
    save_random_gpt2,
    spread_of,
    timed,
)

# isort: split
import torch
from plain_loop import PlainLoop
from torch.utils.flop_counter import FlopCounterMode

from rlhf_course import RLHFArgs, named_reward
from rlhf_course.learner_package import trainer_class
from rlhf_course.rl.matmul import default_matmul

BATCH = {"embedded": 128, "gpt2-shape": 8}  # a whole batch of GPT-2 would take minutes a phase


def settings(model: str, folder: Path) -> RLHFArgs:
    """Return the settings of a run on the model; a random GPT-2 is saved in the folder."""
    base_model = "embedded" if model == "embedded" else save_random_gpt2(folder, **GPT2_SMALL)
    return RLHFArgs(
        base_model=base_model,
        batch_size=BATCH[model],
        kl_coef=0.5,
        warmup_steps=0,
        base_lr=1e-6,
        reward_fn=named_reward("periods"),
    )


def trainers(args: RLHFArgs) -> dict[str, Any]:
    """Return the trainers to compare, by the names of the results."""
    return {"plain loop": PlainLoop(args), "answers": trainer_class()(args), "lean": trainer_class(lean=True)(args)}


def phase_of(trainer: Any) -> Callable[[], None]:
    """Return a function that runs a phase without writing it to disk; the course's trainers record their metrics."""

    def run() -> None:
        _timed_phase(trainer)

    return run


def rollout_of(trainer: Any) -> Callable[[], Any]:
    """Return a function that runs a rollout and returns its memory."""
    return trainer.rollout_phase if isinstance(trainer, PlainLoop) else trainer._checked_rollout


def learning_of(trainer: Any, memory: Any) -> Callable[[], Any]:
    """Return a function that runs the learning phase on a memory."""
    return lambda: (trainer.learning_phase if isinstance(trainer, PlainLoop) else trainer._checked_learning)(memory)


def operations_of(trainer: Any) -> dict[str, int]:
    """Return the floating-point operations of the matrix products in a rollout and in the learning phase after it."""
    with FlopCounterMode(display=False) as rollout:
        memory = rollout_of(trainer)()
    with FlopCounterMode(display=False) as learning:
        learning_of(trainer, memory)()
    return {"rollout": rollout.get_total_flops(), "learning": learning.get_total_flops()}


def time_phases(trainers_by_name: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Time phases, in rounds that run one of each trainer: the whole phase, and of it the rollout and the learning.

    Returns: for each of the three, by the names of the trainers, the seconds as `time_in_turn` returns them.
    """
    rounds = [{name: _timed_phase(trainer) for name, trainer in trainers_by_name.items()} for _ in range(REPEATS + 1)]
    return {
        part: {name: spread_of([phases[name][part] for phases in rounds[1:]]) for name in trainers_by_name}
        for part in ("phase", "rollout", "learning")
    }


def _timed_phase(trainer: Any) -> dict[str, Times]:
    """Run a phase, and return the seconds of it and of its parts."""
    memory, rollout = timed(rollout_of(trainer))
    _, learning = timed(learning_of(trainer, memory))
    _, rest = timed(lambda: None if isinstance(trainer, PlainLoop) else trainer._ref_logprobs(memory))
    phase = {kind: rollout[kind] + learning[kind] + rest[kind] for kind in rest}
    return {"phase": phase, "rollout": rollout, "learning": learning}


def main() -> None:
    """Time the phases of one model, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=BATCH, default="embedded")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder, measurement(f"phase_{model.replace('-', '_')}") as results:
        args = settings(model, Path(folder))
        torch.manual_seed(0)
        trainers_by_name = trainers(args)
        times = time_phases(trainers_by_name)
        fastest_rate, default_rate = matmul_rate(), matmul_rate(matmul_library=default_matmul)
        operations = {name: operations_of(trainer) for name, trainer in trainers_by_name.items()}
        rates = {
            name: counted["learning"] / times["learning"][name]["cpu_seconds"]["median"]
            for name, counted in operations.items()
        }
        results |= {
            "batch": args.batch_size,
            "gen_len": args.gen_len,
            **times,
            "times_as_fast_as_the_plain_loop": ratios(times["phase"], "plain loop"),
            "times_as_fast_by_the_clock": ratios(times["phase"], "plain loop", "seconds"),
            "matmul_gflops": fastest_rate / 1e9,
            "usual_matmul_gflops": default_rate / 1e9,
            "learning_gflops": {name: rate / 1e9 for name, rate in rates.items()},
            "products_alone_seconds": {
                name: sum(counts.values()) / fastest_rate for name, counts in operations.items()
            },
            "share_of_the_matmul_rate": {name: rate / fastest_rate for name, rate in rates.items()},
        }


if __name__ == "__main__":
    main()
