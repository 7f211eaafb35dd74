"""Measure how time grows with the sizes: `python benchmarks/growth.py [phase|reward_model|dpo|grpo]…`

It measures core seconds on random GPT-2s, while one size grows and the others stay: of a phase of part 1, of a step of
a reward model and of DPO, and of a phase of GRPO, each by the reference answers. With names it measures only these, and
keeps the others' figures. (How grading grows with its workers is in benchmarks/grading.py.)
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import earlier_results, measurement, processor, save_random_gpt2, time_in_turn
from phase import phase_of

from rlhf_course import RLHFArgs, TaskArgs, named_reward
from rlhf_course.learner_package import imported_answer, trainer_class
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.dpo import DPOTrainer
from rlhf_course.rl.preferences.pairs import Pair
from rlhf_course.rl.preferences.reward_model import RewardModelTrainer

Sizes = dict[str, int]
SHAPE = {"vocab": 3072, "layers": 4, "width": 96}
PAIRS = {"batch_size": 32, "gen_len": 24}
VOCABULARIES = (3072, 12288, 49152)


def phase(model: str, sizes: Sizes) -> Callable[[], Any]:
    """Return a function that runs a phase of part 1."""
    args = RLHFArgs(base_model=model, kl_coef=0.5, warmup_steps=0, reward_fn=named_reward("periods"), **sizes)
    return phase_of(trainer_class()(args))


def pair_step(trainer: type, run: str, model: str, sizes: Sizes) -> Callable[[], Any]:
    """Return a function that takes a step on pairs of completions of one token, repeated."""
    completions = [" good" * sizes["gen_len"], " bad" * sizes["gen_len"]]
    pairs = [Pair("This", *completions)] * (100 * sizes["batch_size"])  # so many that no step measures accuracy
    pairs = [Pair("This", *completions)] * 2 * sizes["batch_size"]  # two steps, so that the first measures no accuracy
    return trainer(PairArgs.for_run(run, base_model=model, **sizes), (pairs, pairs[:1])).run_phase


def group_phase(model: str, sizes: Sizes) -> Callable[[], Any]:
    """Return a function that runs a phase of GRPO."""
    from rlhf_course import load_model

    args = TaskArgs.for_run("grpo", **sizes, total_phases=1000, evaluation_interval=1000)
    return imported_answer("GRPOTrainer")(args, load_model(model)).run_phase


# For each work its title, the function that makes it, its sizes, and which of them take which values.
WORKS: dict[str, tuple[str, Callable[[str, Sizes], Callable[[], Any]], Sizes, dict[str, tuple[int, ...]]]] = {
    "phase": (
        "phase of part 1",
        phase,
        {"batch_size": 32, "gen_len": 15},
        {
            "batch_size": (16, 32, 64),
            "gen_len": (15, 30, 60),
            "vocab": VOCABULARIES,
            "width": (96, 192, 384),
            "layers": (2, 4, 8),
        },
    ),
    "reward_model": (
        "step of a reward model",
        partial(pair_step, RewardModelTrainer, "reward_model"),
        PAIRS,
        {"batch_size": (16, 32, 64), "gen_len": (12, 24, 48), "vocab": VOCABULARIES},
    ),
    "dpo": (
        "step of DPO",
        partial(pair_step, DPOTrainer, "dpo"),
        PAIRS,
        {"batch_size": (16, 32, 64), "gen_len": (12, 24, 48), "vocab": VOCABULARIES},
    ),
    "grpo": (
        "phase of GRPO",
        group_phase,
        {"prompts": 16, "group_size": 4, "max_new_tokens": 8},
        {
            "prompts": (8, 16, 32),
            "group_size": (4, 8, 16),
            "max_new_tokens": (8, 16, 32),
            "vocab": VOCABULARIES,
        },
    ),
}


def grown(work: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the core seconds of a work by the name of the size that grows, and by its value."""
    _, make, own_sizes, values = WORKS[work]
    found = {}
    for name, sizes in values.items():
        calls = {}
        for size in sizes:
            shape = {key: size if key == name else value for key, value in SHAPE.items()}
            model = save_random_gpt2(folder / "-".join(map(str, shape.values())), **shape)
            calls[str(size)] = make(model, {key: size if key == name else value for key, value in own_sizes.items()})
        found[name] = {size: times["cpu_seconds"] for size, times in time_in_turn(calls).items()}
    return found


def main() -> None:
    """Time the works, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], metavar="work", help=", ".join(WORKS))
    works = parser.parse_args().works or list(WORKS)
    with tempfile.TemporaryDirectory() as folder, measurement("growth") as results:
        results["shape"] = SHAPE
        results["cpu_seconds"] = earlier_results("growth").get(processor(), {}).get("cpu_seconds", {})
        for work in works:
            results["cpu_seconds"][WORKS[work][0]] = {"otherwise": WORKS[work][2], "grown": grown(work, Path(folder))}


if __name__ == "__main__":
    main()
