"""Train part 2's runs on the embedded model over several seeds, and write their figures.

    python benchmarks/preferences.py                  # seeds 1 to 5: do what is missing, then write the results
    python benchmarks/preferences.py --seeds 1 2 3

For each seed: a reward model from 500 pairs, a policy that follows it without and with a KL penalty, best-of-n, DPO.
Runs are stored in benchmarks/runs/preferences/ and resumed there; the figures are in results/preferences.json.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from harness import machine

from rlhf_course.learner_package import imported_answer, use_code
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.launch import resume_run
from rlhf_course.rl.models import load_model
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.dpo import DPOTrainer
from rlhf_course.rl.preferences.pairs import gold_of, sample_completions
from rlhf_course.rl.preferences.reward_model import RewardModelTrainer, load_reward_model, predicted_rewards
from rlhf_course.rl.rewards import named_reward
from rlhf_course.rl.run_folder import read_run

HERE = Path(__file__).resolve().parent
RUNS, RESULTS = HERE / "runs" / "preferences", HERE / "results" / "preferences.json"
BEST_OF = (1, 4, 16, 64, 256, 1024)
TEXTS = 4096
# The KL coefficients of the policies that follow the reward model.
PENALTIES = {"without": 0.0, "with": 0.3}


def reward_model(seed: int) -> Path:
    """Train a reward model from 500 pairs, unless it is there, and return its folder."""
    folder = RUNS / f"reward_model_seed{seed}"
    if not folder.exists():
        RewardModelTrainer(PairArgs.for_run("reward_model", seed=seed)).train(folder)
    elif _steps(folder) < PairArgs(**read_run(folder).config["args"]).steps:
        resume_run(folder)
    return folder


def _steps(folder: Path) -> int:
    return len(read_run(folder).rows)


def policy(seed: int, model: Path, penalty: str) -> list[dict[str, Any]]:
    """Train a policy on a reward model, unless it is there, and return its rows."""
    folder = RUNS / f"policy_{penalty}_penalty_seed{seed}"
    reward_fn = named_reward(f"reward-model:{model}")
    args = RLHFArgs.for_profile("laptop", "overoptimise", seed=seed, kl_coef=PENALTIES[penalty], reward_fn=reward_fn)
    if not folder.exists() or _steps(folder) < args.total_phases:
        imported_answer("RLHFTrainer")(args).train(folder, resume=folder.exists())
    return read_run(folder).rows


def turn(rows: list[dict[str, Any]], gen_len: int) -> dict[str, float]:
    """Return where the judge's and the proxy's reward are largest, and where they end, with the KL of a text."""
    best, proxy, last = (
        max(rows, key=lambda row: row["gold"]),
        max(rows, key=lambda row: row["mean_reward"]),
        rows[-1],
    )
    return {
        "first_gold": rows[0]["gold"],
        "best_gold": best["gold"],
        "best_gold_phase": best["phase"],
        "best_gold_kl": best["kl"] * gen_len,
        "best_proxy": proxy["mean_reward"],
        "best_proxy_phase": proxy["phase"],
        "last_gold": last["gold"],
        "last_proxy": last["mean_reward"],
        "last_kl": last["kl"] * gen_len,
    }


def best_of_n(seed: int, folder: Path) -> dict[int, dict[str, float]]:
    """Return the mean proxy and gold reward of the text that the proxy chooses among n."""
    model, prompt = load_reward_model(folder)
    texts = sample_completions(load_model("embedded"), prompt, TEXTS, seed=seed + 5_000_000)
    proxy, gold = predicted_rewards(model, prompt, texts), gold_of(prompt, texts)
    found = {}
    for n in BEST_OF:
        chosen = imported_answer("best_of_n")(proxy.reshape(-1, n)) + n * torch.arange(TEXTS // n)
        found[n] = {
            "kl": imported_answer("best_of_n_kl")(n),
            "proxy": proxy[chosen].mean().item(),
            "gold": gold[chosen].mean().item(),
        }
    return found


def dpo(seed: int) -> dict[str, float]:
    """Train by DPO, unless it is there, and return its figures."""
    folder = RUNS / f"dpo_seed{seed}"
    trainer = DPOTrainer(PairArgs.for_run("dpo", seed=seed))
    trainer.train(folder, resume=folder.exists())
    last = read_run(folder).rows[-1]
    prompt = trainer.args.prefix
    texts = sample_completions(trainer.model, prompt, 512, seed=seed + 6_000_000)
    return {
        "gold": gold_of(prompt, texts).mean().item(),
        **{name: value for name, value in last.items() if name.startswith("held_out")},
    }


def figures(seed: int) -> dict[str, Any]:
    """Return the figures of a seed."""
    folder = reward_model(seed)
    rows = read_run(folder).rows
    curves = {penalty: policy(seed, folder, penalty) for penalty in PENALTIES}
    gen_len = read_run(RUNS / f"policy_without_penalty_seed{seed}").config["args"]["gen_len"]
    return {
        "held_out_accuracy": rows[-1]["held_out_accuracy"],
        "policies": {penalty: turn(found, gen_len) for penalty, found in curves.items()},
        "curves": {
            penalty: [[row["kl"] * gen_len, row["mean_reward"], row["gold"]] for row in found]
            for penalty, found in curves.items()
        },
        "best_of_n": best_of_n(seed, folder),
        "dpo": dpo(seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    use_code()
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"seeds": {}}
    for seed in options.seeds:
        if str(seed) not in stored["seeds"]:
            stored["seeds"][str(seed)] = figures(seed)
            stored["machine"] = machine()
            RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    accuracies = [found["held_out_accuracy"] for found in stored["seeds"].values()]
    print(f"held-out accuracy {min(accuracies):.3f} to {max(accuracies):.3f}, mean {statistics.fmean(accuracies):.3f}")
    for seed, found in stored["seeds"].items():
        print(seed, json.dumps(found["policies"]), json.dumps(found["dpo"]))


if __name__ == "__main__":
    main()
