"""How long is a phase? `python benchmarks/phase.py [embedded|gpt2-shape]`

The plain loop, the reference answers as a learner would write them, and the lean trainer: same model, samples' number
and lengths, optimizer steps. Beside the times, the floating-point operations of the learning phase and the machine's
roof.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import GPT2_SMALL, keep, machine, matmul_rate, ratios, shaped, take_turns
from plain_loop import PlainLoop
from torch.utils.flop_counter import FlopCounterMode

from rlhf_course import RLHFArgs, named_reward
from rlhf_course.learner_package import trainer_class
from rlhf_course.rl.matmul import usual_products

BATCH = {"embedded": 128, "gpt2-shape": 8}  # a whole batch of GPT-2 would take minutes a phase


def settings(model: str, folder: Path) -> RLHFArgs:
    base_model = "embedded" if model == "embedded" else shaped(folder, **GPT2_SMALL)
    return RLHFArgs(
        base_model=base_model,
        batch_size=BATCH[model],
        kl_coef=0.5,
        warmup_steps=0,
        base_lr=1e-6,
        reward_fn=named_reward("periods"),
    )


def trainers(args: RLHFArgs) -> dict[str, Any]:
    return {"plain loop": PlainLoop(args), "answers": trainer_class()(args), "lean": trainer_class(lean=True)(args)}


def phase_of(trainer: Any) -> Callable[[], None]:
    """A whole phase but for writing it to disk: for the course's trainers, with what they record."""

    def plain() -> None:
        trainer.learning_phase(trainer.rollout_phase())

    def recorded() -> None:
        memory = trainer._checked_rollout()
        trainer._checked_learning(memory)
        trainer._ref_logprobs(memory)

    return plain if isinstance(trainer, PlainLoop) else recorded


def rollout_of(trainer: Any) -> Callable[[], Any]:
    """Its first part."""
    return trainer.rollout_phase if isinstance(trainer, PlainLoop) else trainer._checked_rollout


def learning_of(trainer: Any, memory: Any) -> Callable[[], Any]:
    """Its second part."""
    return lambda: (trainer.learning_phase if isinstance(trainer, PlainLoop) else trainer._checked_learning)(memory)


def learning_operations(trainer: Any) -> int:
    """Floating-point operations of the matrix products in one learning phase."""
    memory = trainer.rollout_phase()
    with FlopCounterMode(display=False) as counter:
        trainer.learning_phase(memory)
    return counter.get_total_flops()


def parts_of(made: dict[str, Any]) -> dict[str, Any]:
    """Rollout and learning by themselves."""
    rollout = take_turns({name: rollout_of(trainer) for name, trainer in made.items()})
    learning = take_turns({name: learning_of(trainer, trainer.rollout_phase()) for name, trainer in made.items()})
    return {"rollout": rollout, "learning": learning}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=BATCH, default="embedded")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        args = settings(model, Path(folder))
        torch.manual_seed(0)
        made = trainers(args)
        where = machine()
        measured = take_turns({name: phase_of(trainer) for name, trainer in made.items()})
        parts = parts_of(made)
        roof, usual = matmul_rate(), matmul_rate(products=usual_products)
        rates = {
            name: learning_operations(trainer) / parts["learning"][name]["cpu_seconds"]["median"]
            for name, trainer in made.items()
        }
    keep(
        f"phase_{model.replace('-', '_')}",
        {
            "machine": where,
            "batch": args.batch_size,
            "gen_len": args.gen_len,
            "phase": measured,
            "times_as_fast_as_the_plain_loop": ratios(measured, "plain loop"),
            "times_as_fast_by_the_clock": ratios(measured, "plain loop", "seconds"),
            **parts,
            "matmul_gflops": roof / 1e9,
            "usual_matmul_gflops": usual / 1e9,
            "learning_gflops": {name: rate / 1e9 for name, rate in rates.items()},
            "share_of_the_matmul_rate": {name: rate / roof for name, rate in rates.items()},
        },
    )


if __name__ == "__main__":
    main()
