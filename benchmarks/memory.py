"""Measure the memory of a phase on top of the loaded models: `python benchmarks/memory.py [repeats]` (Linux)

It is the peak memory of a process that runs one phase, minus its memory after the models were loaded. The plain loop,
the reference answers and the lean trainer are measured on the embedded model, and on a model of its size with GPT-2's
vocabulary, each in a process of its own.
"""

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import REPEATS, measurement, peak, reset_peak, run_in_process, save_random_gpt2, spread
from phase import phase_of
from plain_loop import PlainLoop

from rlhf_course import RLHFArgs, named_reward
from rlhf_course.learner_package import trainer_class

VARIANTS = ("plain loop", "answers", "lean")
# A vocabulary of GPT-2's size takes gigabytes and, on a CPU, minutes: it is measured fewer times.
MODELS = {"embedded": REPEATS, "GPT-2's vocabulary": 2}


def measure_phase(variant: str, base_model: str) -> dict[str, Any]:
    """Run one phase in this process, and return its peak memory on top of the loaded models, and theirs, in bytes."""
    args = RLHFArgs(base_model=base_model, kl_coef=0.5, warmup_steps=0, reward_fn=named_reward("periods"))
    constructors = {
        "plain loop": lambda: PlainLoop(args),
        "answers": lambda: trainer_class()(args),
        "lean": lambda: trainer_class(lean=True)(args),
    }
    trainer = constructors[variant]()
    loaded = reset_peak()
    phase_of(trainer)()
    return {"over_the_models": peak() - loaded, "loaded": loaded}


def measured(base_model: str, repeats: int) -> dict[str, Any]:
    """Return the peak memory of each variant. The variants run at the same time, which does not change their memory."""
    with ThreadPoolExecutor(len(VARIANTS)) as pool:
        runs = {
            variant: [pool.submit(run_in_process, Path(__file__), variant, base_model) for _ in range(repeats)]
            for variant in VARIANTS
        }
        megabytes = {
            variant: spread([run.result()["over_the_models"] / 1e6 for run in runs[variant]]) for variant in VARIANTS
        }
    plain = megabytes["plain loop"]["median"]
    share = {variant: megabytes[variant]["median"] / plain for variant in VARIANTS}
    return {"megabytes_over_the_models": megabytes, "share_of_the_plain_loop": share}


def main() -> None:
    """Measure every variant on each model, and write the results."""
    with tempfile.TemporaryDirectory() as folder, measurement("memory") as results:
        results |= {"batch": 128, "gen_len": 30}
        names = {"embedded": "embedded", "GPT-2's vocabulary": save_random_gpt2(Path(folder), vocab=50257)}
        for model, repeats in MODELS.items():
            results[model] = measured(names[model], int(sys.argv[1]) if sys.argv[1:] else repeats)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure_phase(*sys.argv[1:])))
    else:
        main()
