"""How much memory does a phase take over the loaded models? `python benchmarks/memory.py [repeats]` (Linux)

The peak of a process that does one phase, less what it held when the models were loaded: the plain loop, the reference
answers, the lean trainer; on the embedded model, and on one of its size with GPT-2's vocabulary. Each in a process of
its own.
"""

import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import REPEATS, in_a_process, keep, machine, peak, reset_peak, shaped, spread
from phase import phase_of
from plain_loop import PlainLoop

from rlhf_course import RLHFArgs, named_reward
from rlhf_course.learner_package import trainer_class

VARIANTS = ("plain loop", "answers", "lean")
# A vocabulary of GPT-2's size takes gigabytes and, on a CPU, minutes: it is measured fewer times.
MODELS = {"embedded": REPEATS, "GPT-2's vocabulary": 2}


def one(variant: str, base_model: str) -> dict[str, Any]:
    """In this very process: bytes over the loaded models at the peak of a phase, and what the run expected."""
    args = RLHFArgs(base_model=base_model, kl_coef=0.5, warmup_steps=0, reward_fn=named_reward("periods"))
    made = {
        "plain loop": lambda: PlainLoop(args),
        "answers": lambda: trainer_class()(args),
        "lean": lambda: trainer_class(lean=True)(args),
    }
    trainer = made[variant]()
    loaded = reset_peak()
    phase_of(trainer)()
    return {"over_the_models": peak() - loaded, "loaded": loaded}


def measured(base_model: str, repeats: int) -> dict[str, Any]:
    """Peaks of each variant. Memory is not time: the variants run at once."""
    with ThreadPoolExecutor(len(VARIANTS)) as pool:
        runs = {v: [pool.submit(in_a_process, Path(__file__), v, base_model) for _ in range(repeats)] for v in VARIANTS}
        megabytes = {v: spread([run.result()["over_the_models"] / 1e6 for run in runs[v]]) for v in VARIANTS}
    plain = megabytes["plain loop"]["median"]
    share = {v: megabytes[v]["median"] / plain for v in VARIANTS}
    return {"megabytes_over_the_models": megabytes, "share_of_the_plain_loop": share}


def main() -> None:
    results: dict[str, Any] = {"machine": machine(), "batch": 128, "gen_len": 30}
    with tempfile.TemporaryDirectory() as folder:
        names = {"embedded": "embedded", "GPT-2's vocabulary": shaped(Path(folder), vocab=50257)}
        for model, repeats in MODELS.items():
            results[model] = measured(names[model], int(sys.argv[1]) if sys.argv[1:] else repeats)
            keep("memory", results)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        main()
