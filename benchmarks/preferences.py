"""Train part 2's runs on the embedded model over several seeds, and write what the notebooks show of them.

    python benchmarks/preferences.py              # seeds 1 to 5: do what is missing, then print a table
    python benchmarks/preferences.py --seeds 1 2  # only these, so that two processes can share the work
    python benchmarks/preferences.py --show       # train nothing: print the table

For each seed: a reward model from 500 pairs and its calibration, a policy that follows it without and with a penalty on
the KL, best-of-n, DPO; for three of them also reward models from fewer and from more pairs. Runs are stored in
benchmarks/runs/preferences/ and resumed there. The figures go to the package's recorded runs, which bundles hold too.
"""

import argparse
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from harness import machine
from preference_figures import table
from torch import Tensor

from rlhf_course.files import write_text
from rlhf_course.judges import sentiment_logits
from rlhf_course.learner_package import imported_answer
from rlhf_course.paths import RECORDED_RUNS
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.launch import resume_run
from rlhf_course.rl.models import load_model
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.dpo import DPOTrainer
from rlhf_course.rl.preferences.pairs import completion_of, gold_of, read_pairs, sample_completions
from rlhf_course.rl.preferences.probe import fit_linear_reward, linear_accuracy
from rlhf_course.rl.preferences.reward_model import RewardModelTrainer, load_reward_model, predicted_rewards
from rlhf_course.rl.preferences.trainer import make_pairs
from rlhf_course.rl.rewards import named_reward
from rlhf_course.rl.run_folder import read_run
from rlhf_course.rl.samples import get_samples
from rlhf_course.rl.special_tokens import END_OF_TEXT

RUNS = Path(__file__).resolve().parent / "runs" / "preferences"
SEEDS = (1, 2, 3, 4, 5)
SIZES_SEEDS = (1, 2, 3)  # the seeds with reward models from other numbers of pairs
SIZES = (64, 125, 250, 500, 1000, 2000)
FEW, FEW_EPOCHS = 64, 4  # the labels of one person, and the passes over them in notebook 11
BEST_OF = tuple(2**power for power in range(11))
TEXTS = 4096
# The KL coefficients of the policies that follow the reward model.
PENALTIES = {"without": 0.0, "with": 0.3}
DPO_STEPS, DPO_TEXTS = (4, 8, 16, 32, 64), 512
# Where the bins of the probability that a reward model states begin and end.
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Texts to measure on come from seeds that no pair has.
BEST_OF_SEED, DPO_SEED = 5_000_000, 6_000_000


def results_of(seed: int) -> Path:
    """Return the file that holds a seed's figures."""
    return RECORDED_RUNS / f"preferences_seed{seed}.json"


# The reward model.


def reward_model(seed: int) -> Path:
    """Train a reward model from 500 pairs, unless it is there, and return its folder."""
    folder = RUNS / f"reward_model_seed{seed}"
    if not folder.exists():
        RewardModelTrainer(PairArgs.for_run("reward_model", seed=seed)).train(folder)
    elif len(read_run(folder).rows) < PairArgs(**read_run(folder).config["args"]).total_phases:
        resume_run(folder)
    return folder


def reward_model_figures(folder: Path) -> dict[str, Any]:
    """Return a reward model's held-out accuracy, and how often labeller and judge agree with it, by how sure it is.

    The labeller's shares are the expected ones, so that the chance in single labels plays no part.
    """
    model, prompt = load_reward_model(folder)
    pairs = read_pairs(folder / "held_out.jsonl")
    sides = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    difference = predicted_rewards(model, prompt, sides[0]) - predicted_rewards(model, prompt, sides[1])
    gold = gold_of(prompt, sides[0]) - gold_of(prompt, sides[1])
    shares = {
        "said": difference.abs().sigmoid(),
        "labeller": (difference.sign() * gold).sigmoid(),
        "judge": (difference * gold > 0).float(),
    }
    bins = torch.bucketize(shares["said"], torch.tensor(EDGES[1:-1]))
    inside = [bins == number for number in range(len(EDGES) - 1)]
    return {
        "held_out_accuracy": _rounded(read_run(folder).rows[-1]["held_out_accuracy"]),
        "labels_agree": _rounded(gold.sigmoid().mean()),  # the judge labelled them, so gold is above 0
        "calibration": [
            {"pairs": int(rows.sum())} | {name: _rounded(values[rows].mean()) for name, values in shares.items()}
            for rows in inside
            if rows.any()
        ],
    }


def accuracy_by_pairs(seed: int) -> dict[str, Any]:
    """Return the held-out accuracy of reward models from fewer and from more pairs: whole models and linear heads."""
    args = PairArgs.for_run("reward_model", seed=seed, pairs=max(SIZES))
    pairs, held_out = make_pairs(args)
    frozen = load_model(args.base_model)
    sizes = {
        str(size): {
            "whole": _last_row(args, pairs[:size], held_out)["held_out_accuracy"],
            "linear": linear_accuracy(frozen, fit_linear_reward(frozen, pairs[:size]), held_out),
        }
        for size in SIZES
    }
    few = _last_row(replace(args, epochs=FEW_EPOCHS), pairs[:FEW], held_out)
    return {"sizes": sizes, "few_whole": few["held_out_accuracy"], "few_own_pairs": few["accuracy"]}


def _last_row(args: PairArgs, pairs: list[Any], held_out: list[Any]) -> dict[str, float]:
    """Train a reward model on some pairs, and return the last row of its metrics."""
    folder = RUNS / f"by_pairs_seed{args.seed}_{len(pairs)}_{args.epochs}"
    shutil.rmtree(folder, ignore_errors=True)
    rows = RewardModelTrainer(args, (pairs, held_out)).train(folder).rows
    shutil.rmtree(folder)
    return rows[-1]


# What follows the reward model.


def policy(seed: int, model: Path, penalty: str) -> Path:
    """Train a policy on a reward model, unless it is there, and return its folder."""
    folder = RUNS / f"policy_{penalty}_penalty_seed{seed}"
    reward_fn = named_reward(f"reward-model:{model}")
    args = RLHFArgs.for_profile("laptop", "overoptimise", seed=seed, kl_coef=PENALTIES[penalty], reward_fn=reward_fn)
    if not folder.exists() or len(read_run(folder).rows) < args.total_phases:
        imported_answer("RLHFTrainer")(args).train(folder, resume=folder.exists())
    return folder


def curve(folder: Path) -> dict[str, list[float]]:
    """Return for each phase the KL of a text, and the mean reward under proxy, judge and bare classifier."""
    run = read_run(folder)
    prompt, gen_len = (run.config["args"][name] for name in ("prefix", "gen_len"))
    classified: list[list[float]] = [[] for _ in run.rows]
    texts = [completion_of(sample["text"], prompt) for sample in run.samples]
    for sample, logit in zip(run.samples, sentiment_logits(prompt, texts).tolist(), strict=True):
        classified[sample["phase"]].append(logit)
    return {
        "kl": [_rounded(row["kl"] * gen_len) for row in run.rows],
        "proxy": [_rounded(row["mean_reward"]) for row in run.rows],
        "gold": [_rounded(row["gold"]) for row in run.rows],
        "classifier": [_rounded(sum(logits) / len(logits)) for logits in classified],
    }


def best_of_n(seed: int, folder: Path) -> dict[str, Any]:
    """Return the mean reward of the text that the proxy chooses among n, and what all texts have."""
    model, prompt = load_reward_model(folder)
    texts = sample_completions(load_model("embedded"), prompt, TEXTS, seed=seed + BEST_OF_SEED)
    proxy = predicted_rewards(model, prompt, texts)
    rewards = {"proxy": proxy, "gold": gold_of(prompt, texts), "classifier": _classified(prompt, texts)}
    order = proxy.argsort()
    chosen = {
        name: [_rounded(_mean_of_best(values[order].double(), n)) for n in BEST_OF] for name, values in rewards.items()
    }
    divergence = [_rounded(imported_answer("best_of_n_kl")(n)) for n in BEST_OF]
    return {"n": BEST_OF, "kl": divergence, **chosen, "deviation": _rounded(proxy.std())}


def _mean_of_best(values: Tensor, n: int) -> Tensor:
    """Return the mean value of the best of n texts, over all ways to choose n of the texts.

    Text k of N, in the order of the proxy's reward, is the best one in C(k - 1, n - 1) of C(N, n) ways.

    Args:
        values: A value for each text, in the order of the proxy's reward.
        n: The number of texts to choose from.
    """
    count = len(values)
    below = torch.arange(n - 1, count, dtype=torch.float64)
    ways = torch.lgamma(below + 1) - torch.lgamma(below - n + 2) - math.lgamma(n)
    every = math.lgamma(count + 1) - math.lgamma(n + 1) - math.lgamma(count - n + 1)
    return ((ways - every).exp() * values[n - 1 :]).sum()


def _classified(prompt: str, texts: list[str]) -> Tensor:
    return sentiment_logits(prompt, [text.removesuffix(END_OF_TEXT) for text in texts])


# DPO.


def dpo(seed: int) -> dict[str, Any]:
    """Train by DPO, unless that was done, and return how far the policy came after some of the steps."""
    folder = RUNS / f"dpo_seed{seed}"
    measured = folder / "path.json"
    if not measured.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        trainer = DPOTrainer(PairArgs.for_run("dpo", seed=seed))
        reference = load_model(trainer.args.base_model)
        path: list[dict[str, float]] = []

        def measure(row: dict[str, Any], _: Any) -> None:
            if row["phase"] + 1 in DPO_STEPS:
                path.append({"step": row["phase"] + 1, **_distance_and_rewards(trainer, reference)})

        trainer.train(folder, watch=measure)
        write_text(measured, json.dumps(path))
    rows = read_run(folder).rows
    path = json.loads(measured.read_text())
    return {
        "path": {name: [point[name] for point in path] for name in path[0]},
        "log_ratios": {side: [_rounded(row[f"{side}_log_ratio"]) for row in rows] for side in ("chosen", "rejected")},
        **{name: _rounded(value) for name, value in rows[-1].items() if name.startswith("held_out")},
    }


@torch.no_grad()
def _distance_and_rewards(trainer: DPOTrainer, reference: Any) -> dict[str, float]:
    """Return the KL of a policy's texts, as the policies' record has it, and their mean rewards."""
    args, distances, texts = trainer.args, [], []
    generator = torch.Generator().manual_seed(args.seed + DPO_SEED)
    for _ in range(DPO_TEXTS // 128):
        ids, sampled = get_samples(trainer.model, args.prefix, 128, args.gen_len, 1.0, top_k=None, generator=generator)
        ours, theirs = (model(ids)[:, -args.gen_len - 1 : -1].log_softmax(-1) for model in (trainer.model, reference))
        distances.append((ours.exp() * (ours - theirs)).sum(-1).sum(-1).mean())
        texts += [completion_of(text, args.prefix) for text in sampled]
    return {
        "kl": _rounded(torch.stack(distances).mean()),
        "gold": _rounded(gold_of(args.prefix, texts).mean()),
        "classifier": _rounded(_classified(args.prefix, texts).mean()),
    }


# All of it.


def measure_seed(seed: int) -> dict[str, Any]:
    """Train what is missing of a seed, and return its figures."""
    folder = reward_model(seed)
    policies = {penalty: curve(policy(seed, folder, penalty)) for penalty in PENALTIES}
    return {
        "machine": machine(),
        "reward_model": reward_model_figures(folder),
        "policies": policies,
        "best_of_n": best_of_n(seed, folder),
        "dpo": dpo(seed),
        **({"accuracy_by_pairs": accuracy_by_pairs(seed)} if seed in SIZES_SEEDS else {}),
    }


def _rounded(number: Any) -> float:
    return round(float(number), 4)


def main() -> None:
    """Do what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--show", action="store_true", help="train nothing, and print the table")
    options = parser.parse_args()
    for seed in () if options.show else options.seeds:
        if not results_of(seed).is_file():
            write_text(results_of(seed), json.dumps(measure_seed(seed)) + "\n")
    print(table())


if __name__ == "__main__":
    main()
