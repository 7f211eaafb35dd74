"""Measure each speed-up alone and left out: `python benchmarks/ablation.py [--model M] [--memory] [SPEED-UP ...]`

Two pairs of trainers show what a speed-up saves. Of the first pair, one has none of the speed-ups, and the other this
one. Of the second, one has all of them, and the other all but this one. Where a speed-up needs another, both trainers
of its pairs have that one; where another needs it, both lack that one. The trainers of a pair take turns with half a
phase each, and what is saved is the median over these rounds, since a machine's speed changes within minutes by more
than most speed-ups save. With `--memory`, the peak memory of a whole phase is measured instead, each in a process of
its own. The models are those of phase.py. Results are written after each speed-up; those of the others stay.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from harness import earlier_results, measurement, peak, processor, reset_peak, run_in_process, spread
from phase import BATCH, phase_of, settings

from rlhf_course import ReplayMemory, RLHFArgs
from rlhf_course.learner_package import trainer_class
from rlhf_course.rl import matmul, models, samples, schedule

ROUNDS, MEMORY_REPEATS = 5, 2
LeanTrainer = trainer_class(lean=True)
lean = sys.modules[LeanTrainer.__module__]


def read_prompt_of_each_text(bridge: Any, prompt_ids: Any, batch_size: int, cache: Any) -> Any:
    """Do what `read_prompt` does, by a pass over the prompt of every text."""
    ids = prompt_ids.expand(batch_size, -1)
    return bridge.original_model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]


@dataclass(frozen=True)
class SpeedUp:
    """A speed-up, and how to leave it out.

    Attributes:
        place: The module or class that holds what is replaced.
        name: The name of what is replaced.
        plain: What replaces it.
        needs: The speed-ups without which it computes something wrong.
        is_lean: Whether it is the lean trainer's.
        is_off: Function that returns whether the processor does not use it, so that there is nothing to measure.
    """

    place: Any
    name: str
    plain: Any
    needs: frozenset[str] = frozenset()
    is_lean: bool = False
    is_off: Callable[[], bool] = lambda: False


def nothing(*args: Any) -> None:
    """Do nothing."""


SPEED_UPS = {
    "prompt read once": SpeedUp(samples, "read_prompt", read_prompt_of_each_text),
    "fused attention": SpeedUp(models, "fuse_attention", nothing),
    "fused norms": SpeedUp(models, "fuse_norms", nothing),
    "fused activation": SpeedUp(models, "fuse_activations", nothing),
    "oneDNN products": SpeedUp(
        matmul, "_onednn_is_exact_and_quicker", lambda: False, is_off=lambda: not matmul._onednn_is_exact_and_quicker()
    ),
    "dense parameters": SpeedUp(models, "make_trainable_parameters_dense", nothing),
    "fused AdamW": SpeedUp(schedule, "fuse_optimizer", nothing, needs=frozenset({"dense parameters"})),
    "reference states": SpeedUp(ReplayMemory, "release_ref_logits", nothing),
    "blocks of the lean objective": SpeedUp(lean, "_CHUNK_SIZE", sys.maxsize, is_lean=True),
}
ALL = frozenset(SPEED_UPS)
Variant = tuple[bool, frozenset[str]]  # whether it is the lean trainer, and the speed-ups that it has


def variants_of(name: str) -> dict[str, dict[str, Variant]]:
    """Return the two pairs of variants that show what a speed-up saves."""
    speed_up = SPEED_UPS[name]
    most = ALL - {other for other, its in SPEED_UPS.items() if name in its.needs}
    pairs = {"alone": speed_up.needs | {name}, "beside the others": most}
    return {
        title: {"without": (speed_up.is_lean, present - {name}), "with": (speed_up.is_lean, present)}
        for title, present in pairs.items()
    }


@contextmanager
def only(present: frozenset[str]) -> Iterator[None]:
    """Leave all other speed-ups out, until the block ends."""
    with ExitStack() as stack:
        for name in ALL - present:
            speed_up = SPEED_UPS[name]
            stack.enter_context(patch.object(speed_up.place, speed_up.name, speed_up.plain))
        yield


def phase(args: RLHFArgs, variant: Variant) -> Callable[[], None]:
    """Return a function that runs a phase of a variant."""
    is_lean, present = variant
    with only(present):
        run = phase_of(LeanTrainer(args) if is_lean else trainer_class()(args))

    def run_with_these() -> None:
        with only(present):
            run()

    return run_with_these


def time_pair(args: RLHFArgs, pair: dict[str, Variant]) -> dict[str, Any]:
    """Return the core seconds of half a phase without and with a speed-up, and the part that it saves.

    It is half a phase so that the runs that are compared are closer in time.
    """
    torch.manual_seed(0)
    half = replace(args, batch_size=args.batch_size // 2, num_minibatches=args.num_minibatches // 2)
    runs = {side: phase(half, variant) for side, variant in pair.items()}
    seconds: dict[str, list[float]] = {side: [] for side in pair}
    for round_ in range(ROUNDS + 1):
        for side in reversed(runs) if round_ % 2 else runs:
            began = time.process_time()
            runs[side]()
            if round_:  # the first round warms up
                seconds[side].append(time.process_time() - began)
    saved = [1 - present / without for without, present in zip(seconds["without"], seconds["with"], strict=True)]
    return {**{side: spread(numbers) for side, numbers in seconds.items()}, "saved": spread(saved)}


def measure_memory(model: str, pair: dict[str, Variant]) -> dict[str, Any]:
    """Return the peak memory of a phase without and with a speed-up, on top of the loaded models, in MB."""

    def measured(variant: Variant) -> float:
        asked = json.dumps([variant[0], sorted(variant[1])])
        return run_in_process(Path(__file__), "--model", model, "--child", asked)["bytes"] / 1e6

    return {side: spread([measured(variant) for _ in range(MEMORY_REPEATS)]) for side, variant in pair.items()}


def peak_of_a_phase(args: RLHFArgs, variant: Variant) -> int:
    """Return the peak memory of a phase in this process, on top of the loaded models, in bytes."""
    run = phase(args, variant)
    loaded = reset_peak()
    run()
    return peak() - loaded


def main() -> None:
    """Measure the speed-ups that are named, or all, and add them to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speed_ups", nargs="*", metavar="SPEED-UP", help=", ".join(SPEED_UPS))
    parser.add_argument("--model", choices=BATCH, default="embedded")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", metavar="VARIANT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args = settings(options.model, Path(folder))
        if options.child:
            is_lean, present = json.loads(options.child)
            print(json.dumps({"bytes": peak_of_a_phase(args, (is_lean, frozenset(present)))}))
            return
        unit = "megabytes" if options.memory else "cpu_seconds"
        for name in options.speed_ups or [name for name, speed_up in SPEED_UPS.items() if not speed_up.is_off()]:
            pairs = variants_of(name).items()
            with measurement("ablation") as results:
                if options.memory:
                    figures = {title: measure_memory(options.model, pair) for title, pair in pairs}
                else:
                    figures = {title: time_pair(args, pair) for title, pair in pairs}
                earlier = earlier_results("ablation").get(processor(), {})
                results |= {model: earlier[model] for model in BATCH if model in earlier}
                of_model = results.setdefault(options.model, {})
                merged = of_model.get(unit, {}) | {name: figures}
                of_model[unit] = {name: merged[name] for name in SPEED_UPS if name in merged}


if __name__ == "__main__":
    main()
