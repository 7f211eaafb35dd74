"""Train part 3's runs on the embedded model over several seeds, and write what the notebooks show of them.

    python benchmarks/policy_gradients.py              # seeds 1 to 3: do what is missing, then print a table
    python benchmarks/policy_gradients.py --seeds 1 2  # only these, so that two processes can share the work
    python benchmarks/policy_gradients.py --runs grpo  # only these runs, and the runs that they start from
    python benchmarks/policy_gradients.py --show       # train nothing: print the table

For each seed: one fine-tuned model, and from it GRPO, Dr. GRPO, RLOO and expert iteration, which sample as many
completions, and GRPO with the broken verifier; then GRPO on five digits from a weak start, and on the task "even".
Runs are stored in benchmarks/runs/policy_gradients/; a run that was interrupted is trained again, a whole one is kept.
The figures go to the package's recorded runs, which bundles hold too. No measured seconds are comparable unless the
machine was idle: the load before each run stands beside them.
"""

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from harness import machine
from policy_gradient_figures import table

from rlhf_course.files import write_text
from rlhf_course.paths import RECORDED_RUNS
from rlhf_course.rl.phase_runs import phase_trainer
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.completions import generate_completions
from rlhf_course.rl.policy_gradients.pass_at_k import pass_at_k
from rlhf_course.rl.policy_gradients.start import load_start
from rlhf_course.rl.policy_gradients.task_trainer import HELD_OUT_SEED, task_of
from rlhf_course.rl.run_folder import read_run

RUNS = Path(__file__).resolve().parent / "runs" / "policy_gradients"
SEEDS = (1, 2, 3)
# The runs of a seed by name: the kind of the run, the run that it starts from, and its settings.
_CONSTANT = {"scale_by_std": False, "aggregation": "constant"}
SPECIFICATIONS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "sft": ("sft", None, {}),
    "grpo": ("grpo", "sft", {}),
    "dr_grpo": ("grpo", "sft", _CONSTANT),
    "rloo": ("grpo", "sft", {"baseline": "leave_one_out", **_CONSTANT}),
    "expert_iteration": ("expert_iteration", "sft", {}),
    "broken_verifier": ("broken_verifier", "sft", {"evaluation_interval": 5}),
    "sft_five_digits": ("sft", None, {"digits": 5, "total_phases": 28}),
    "five_digits": ("grpo", "sft_five_digits", {"digits": 5}),
    "sft_even": ("sft", None, {"task": "even"}),
    "even": ("grpo", "sft_even", {"task": "even", "total_phases": 30}),
}
# What is recorded of each phase, by the name of the column.
COLUMNS = {
    "reward": "mean_reward",
    "accuracy": "accuracy",
    "mixed_groups": "mixed_groups",
    "entropy": "entropy",
    "length": "mean_length",
}
PASS_RUNS = ("sft", "grpo", "expert_iteration")
PASS_AT, PASS_SAMPLES, PASS_PROMPTS = (1, 2, 4, 8, 16), 16, 100


def results_of(seed: int) -> Path:
    """Return the file that holds a seed's figures."""
    return RECORDED_RUNS / f"policy_gradients_seed{seed}.json"


def folder_of(seed: int, name: str) -> Path:
    """Return the folder of a run."""
    return RUNS / f"{name}_seed{seed}"


def train(seed: int, name: str) -> Path:
    """Train a run and the one that it starts from, unless they are there, and return its folder."""
    folder, start = folder_of(seed, name), SPECIFICATIONS[name][1]
    if start is not None:
        train(seed, start)
    measured = folder / "time.json"
    if not measured.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        load, clock, processor = os.getloadavg()[0], time.perf_counter(), time.process_time()
        phase_trainer(*_described(seed, name)).train(folder, show=False)
        seconds = {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - processor}
        write_text(measured, json.dumps({key: round(value, 1) for key, value in seconds.items()} | {"load": load}))
    return folder


def _described(seed: int, name: str) -> tuple[str, TaskArgs]:
    kind, start, settings = SPECIFICATIONS[name]
    beginning = {} if start is None else {"start": str(folder_of(seed, start))}
    return kind, TaskArgs.for_run(kind, seed=seed, **beginning, **settings)


def curve(seed: int, name: str) -> dict[str, Any]:
    """Return a run's figures: a list of numbers a column, its held-out accuracy, and the time that it took.

    The held-out accuracy begins with that of the run that it started from.
    """
    folder = train(seed, name)
    rows, start = read_run(folder).rows, SPECIFICATIONS[name][1]
    tokens = list(accumulate(_number(row.get("sampled_tokens")) for row in rows))
    measured = [] if start is None else [{"phase": 0, "tokens": 0, **_last_held_out(folder_of(seed, start))}]
    measured += [
        {"phase": row["phase"] + 1, "tokens": int(tokens[row["phase"]]), **_held_out(row)}
        for row in rows
        if not math.isnan(_number(row.get("held_out_accuracy"), math.nan))
    ]
    recorded = () if start is None else [(key, column) for key, column in COLUMNS.items() if column in rows[0]]
    return {
        **{key: [_rounded(row[column], 3) for row in rows] for key, column in recorded},
        "tokens": [] if start is None else [int(total) for total in tokens],
        "held_out": {key: [point[key] for point in measured] for key in measured[0]},
        **json.loads((folder / "time.json").read_text()),
    }


def _number(value: Any, otherwise: float = 0.0) -> float:
    return value if isinstance(value, int | float) and not math.isnan(value) else otherwise


def _held_out(row: dict[str, Any]) -> dict[str, float]:
    return {"sampled": _rounded(row["held_out_accuracy"], 3), "greedy": _rounded(row["held_out_greedy"], 3)}


def _last_held_out(folder: Path) -> dict[str, float]:
    return _held_out(read_run(folder).rows[-1])


def pass_at(seed: int, name: str) -> list[float]:
    """Return the mean pass@k of a run's model over held-out prompts, for each k of `PASS_AT`."""
    _, args = _described(seed, "grpo")
    args.start = str(folder_of(seed, name))
    model, task = load_start(args), task_of(args)
    prompts = task.prompts(PASS_PROMPTS, HELD_OUT_SEED, held_out=True)
    generator = torch.Generator().manual_seed(seed)
    repeated = [prompt for prompt in prompts for _ in range(PASS_SAMPLES)]
    texts = generate_completions(model, repeated, args.max_new_tokens, generator=generator).texts
    verdicts = [task.is_right(prompt, text) for prompt, text in zip(repeated, texts, strict=True)]
    right = [int(sum(verdicts[begin : begin + PASS_SAMPLES])) for begin in range(0, len(verdicts), PASS_SAMPLES)]
    return [_mean([pass_at_k(PASS_SAMPLES, number, k) for number in right]) for k in PASS_AT]


def _mean(values: Sequence[float]) -> float:
    return _rounded(sum(values) / len(values), 3)


def measure(seed: int, name: str) -> None:
    """Train a run unless its figures are written already, and write them, and pass@k of its model where it is drawn.

    The file is read again before it is written: another process may have written figures of other runs meanwhile.
    """
    written = _written(seed)
    figures = written["runs"].get(name) or curve(seed, name)
    shares = written["pass_at_k"].get(name) or (pass_at(seed, name) if name in PASS_RUNS else None)
    measured = _written(seed)
    measured["runs"][name] = figures
    if shares:
        measured["pass_at_k"] |= {"k": PASS_AT, name: shares}
    for part, names in (("runs", SPECIFICATIONS), ("pass_at_k", ("k", *PASS_RUNS))):
        measured[part] = {known: measured[part][known] for known in names if known in measured[part]}
    write_text(results_of(seed), json.dumps(measured) + "\n")


def _written(seed: int) -> dict[str, Any]:
    file = results_of(seed)
    return json.loads(file.read_text()) if file.is_file() else {"machine": machine(), "runs": {}, "pass_at_k": {}}


def _rounded(number: Any, digits: int) -> float:
    return round(float(number), digits)


def main() -> None:
    """Do what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--runs", nargs="+", choices=SPECIFICATIONS, default=list(SPECIFICATIONS))
    parser.add_argument("--show", action="store_true", help="train nothing, and print the table")
    options = parser.parse_args()
    for name in () if options.show else options.runs:
        for seed in options.seeds:
            measure(seed, name)
    print(table())


if __name__ == "__main__":
    main()
