"""Measure time and memory of a phase of the named runs: `python benchmarks/profiles.py`.

It writes `results/profiles.json`, which the notebooks' gate to training takes its estimates from
(`notebook/run_cost.py`). The embedded model is measured as the profile `laptop` trains it. GPT-2 is measured in memory
alone, with random weights and a small batch: that is enough to check the formula, and needs no network.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "profiles.json"
RUNS = {
    "embedded, periods": {"profile": "laptop", "run": "periods"},
    "embedded, sentiment": {"profile": "laptop", "run": "sentiment"},
    "gpt2-small, 4 texts": {"profile": "gpu", "run": "periods", "batch_size": 4},
}
PHASES = 3


def measure(profile: str, run: str, **overrides: int) -> dict[str, float]:
    """Train some phases in this process, and return their time and peak memory, with the estimates of both."""
    from rlhf_course import RLHFArgs, use_code
    from rlhf_course.notebook.run_cost import estimate

    use_code()
    from part1_rlhf import RLHFTrainer

    with tempfile.TemporaryDirectory() as folder:
        args = RLHFArgs.for_profile(profile, run, total_phases=PHASES, warmup_steps=0, **overrides)
        cost = estimate(args, threads=1)
        if profile != "laptop":
            args.base_model = random_gpt2(Path(folder) / "gpt2")
            args.total_phases = 1
        trainer = RLHFTrainer(args)
        began, cpu = time.perf_counter(), time.process_time()
        trainer.train(Path(folder) / "run", show=False)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    tokens = args.batch_size * args.gen_len
    return {
        "texts": args.batch_size,
        "tokens": tokens,
        "cpu_seconds_a_phase": round(cpu / args.total_phases, 2),
        "wall_seconds_a_phase": round(wall / args.total_phases, 2),
        "peak_gigabytes": round(peak, 2),
        "estimated_seconds_a_phase": round(cost.seconds / PHASES, 2),
        "estimated_gigabytes": round(cost.gigabytes, 2),
    }


def random_gpt2(folder: Path) -> str:
    """Save GPT-2 small with random weights and the embedded model's tokenizer, and return the folder."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from rlhf_course.rl.models import EMBEDDED

    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Measure each run in a process of its own, and write the results; or measure the run named in the arguments."""
    if len(sys.argv) == 2:
        print(json.dumps(measure(**RUNS[sys.argv[1]])))
        return
    results = {"threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))}
    for name in RUNS:
        process = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        results[name] = json.loads(process.stdout.splitlines()[-1])
        print(name, results[name], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
