"""Measure how the time of a phase grows with the sizes: `python benchmarks/growth.py`

It measures core seconds of a phase of the reference answers on random GPT-2s, while one of batch, lengths, vocabulary,
width and layers grows and the others stay. (How grading grows with its workers is in benchmarks/grading.py.)
"""

import tempfile
from pathlib import Path
from typing import Any

from harness import measurement, save_random_gpt2, time_in_turn
from phase import phase_of

from rlhf_course import RLHFArgs, named_reward
from rlhf_course.learner_package import trainer_class

SETTINGS = {"batch_size": 32, "gen_len": 15}
SHAPE = {"vocab": 3072, "layers": 4, "width": 96}
GROWN: dict[str, list[dict[str, int]]] = {
    "batch_size": [{"batch_size": size} for size in (16, 32, 64)],
    "gen_len": [{"gen_len": size} for size in (15, 30, 60)],
    "vocab": [{"vocab": size} for size in (3072, 12288, 49152)],
    "width": [{"width": size} for size in (96, 192, 384)],
    "layers": [{"layers": size} for size in (2, 4, 8)],
}


def phase(folder: Path, changed: dict[str, int]) -> Any:
    """Return a function that runs a phase with some sizes changed."""
    shape = {name: changed.get(name, size) for name, size in SHAPE.items()}
    settings = {name: changed.get(name, size) for name, size in SETTINGS.items()}
    model = save_random_gpt2(folder / "-".join(map(str, shape.values())), **shape)
    return phase_of(
        trainer_class()(
            RLHFArgs(base_model=model, kl_coef=0.5, warmup_steps=0, reward_fn=named_reward("periods"), **settings)
        )
    )


def main() -> None:
    """Time the phases, and write the results."""
    with tempfile.TemporaryDirectory() as folder, measurement("growth") as results:
        grown = {
            name: time_in_turn({str(change[name]): phase(Path(folder), change) for change in changes})
            for name, changes in GROWN.items()
        }
        medians = {name: {size: times["cpu_seconds"] for size, times in sizes.items()} for name, sizes in grown.items()}
        results |= {"otherwise": {**SETTINGS, **SHAPE}, "cpu_seconds_of_a_phase": medians}


if __name__ == "__main__":
    main()
