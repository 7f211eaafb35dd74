"""How much memory does a phase take over the loaded models? `python benchmarks/memory.py` (Linux)

The peak of a process that does one phase, less what it held when the models were loaded: the plain loop, the reference
answers, the lean trainer; on the embedded model, and on one of its size with GPT-2's vocabulary. Each in a process of its own.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import REPEATS, in_a_process, keep, machine, peak, reset_peak, shaped, spread
from phase import phase_of
from plain_loop import PlainLoop
from rlhf_course import RLHFArgs, named_reward
from rlhf_course.code import trainer_class

VARIANTS = ("plain loop", "answers", "lean")
# A vocabulary of GPT-2's size takes gigabytes and, on a CPU, minutes: it is measured fewer times.
MODELS = {"embedded": REPEATS, "GPT-2's vocabulary": 2}


def one(variant: str, base_model: str) -> dict[str, Any]:
    """In this very process: bytes over the loaded models at the peak of a phase, and what the run expected."""
    args = RLHFArgs(base_model=base_model, kl_coef=0.5, warmup_steps=0, reward_fn=named_reward("periods"))
    made = {"plain loop": lambda: PlainLoop(args), "answers": lambda: trainer_class()(args), "lean": lambda: trainer_class(lean=True)(args)}
    trainer = made[variant]()
    loaded = reset_peak()
    phase_of(trainer)()
    return {"over_the_models": peak() - loaded, "loaded": loaded}


def main() -> None:
    where = machine()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        names = {"embedded": "embedded", "GPT-2's vocabulary": shaped(Path(folder), vocab=50257)}
        for model, repeats in MODELS.items():
            runs = {variant: [in_a_process(Path(__file__), variant, names[model]) for _ in range(repeats)] for variant in VARIANTS}
            megabytes = {variant: spread([run["over_the_models"] / 1e6 for run in runs[variant]]) for variant in VARIANTS}
            plain = megabytes["plain loop"]["median"]
            share = {variant: megabytes[variant]["median"] / plain for variant in VARIANTS}
            results[model] = {"megabytes_over_the_models": megabytes, "share_of_the_plain_loop": share}
    keep("memory", {"machine": where, "batch": 128, "gen_len": 30, **results})


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        main()
