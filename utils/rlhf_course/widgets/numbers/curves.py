"""Compute the dashboard's curves: a run's metrics and the spread of its rewards in each phase."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

# The metrics that the dashboard draws, with their titles. The KL is without its coefficient.
PANELS = {
    "mean_reward": "reward",
    "kl": "KL to the reference, nats a token",
    "value_loss": "value loss",
    "entropy": "entropy, nats a token",
    "clipfrac": "clip fraction",
    "lr": "learning rate",
}
# The metrics of a run that learns from pairs.
PAIR_PANELS = {
    "loss": "loss",
    "accuracy": "accuracy on the step's pairs",
    "held_out_accuracy": "accuracy on held-out pairs",
    "chosen_log_ratio": "log-ratio of chosen texts",
    "rejected_log_ratio": "log-ratio of rejected texts",
    "lr": "learning rate",
}
# The metrics of supervised fine-tuning, whose accuracy is measured now and then.
SFT_PANELS = {
    "loss": "loss",
    "held_out_accuracy": "accuracy on held-out prompts",
    "held_out_greedy": "the same, likeliest tokens",
    "lr": "learning rate",
}
# The metrics of GRPO on a task, and of expert iteration.
GROUP_PANELS = {
    "mean_reward": "reward",
    "accuracy": "share that is right",
    "held_out_accuracy": "accuracy on held-out prompts",
    "mixed_groups": "share of groups that are mixed",
    "entropy": "entropy, nats a token",
    "mean_length": "tokens of a completion",
}
EXPERT_PANELS = {
    "mean_reward": "reward",
    "held_out_accuracy": "accuracy on held-out prompts",
    "kept": "different right completions",
    "loss": "loss",
    "entropy": "entropy, nats a token",
    "mean_length": "tokens of a completion",
}


class Spread(NamedTuple):
    """The spread of the rewards of a phase: a tenth of them is below `low`, a tenth above `high`."""

    low: float
    high: float


class Curves(NamedTuple):
    """The curves of a run.

    Attributes:
        phases: The x values of every curve.
        panels: For each name in the panels of its kind of run, such as `PANELS`, a number for each phase.
        spreads: The spread of the rewards in each phase that has samples.
        gold: The judge's mean reward in each phase; empty where the run does not record it.
        titles: The title of each panel.
    """

    phases: list[int]
    panels: dict[str, list[float]]
    spreads: list[Spread]
    gold: list[float]
    titles: dict[str, str]


def curves(rows: Sequence[Mapping[str, Any]], spreads: Sequence[Spread] = ()) -> Curves:
    """Return the curves of a run.

    Args:
        rows: The rows of metrics; a missing metric becomes NaN.
        spreads: The spread of the rewards in each phase.
    """
    titles = panels_of(rows)
    panels = {name: [_number(row.get(name)) for row in rows] for name in titles}
    gold = [_number(row.get("gold")) for row in rows]
    recorded = not all(math.isnan(reward) for reward in gold)
    # A run on a task records the samples of its first prompt alone, whose spread is not that of the phase.
    shown = list(spreads) if titles is PANELS else []
    return Curves([int(row["phase"]) for row in rows], panels, shown, gold if recorded else [], titles)


def panels_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the metrics that are drawn of a run, with their titles; the columns of its rows tell its kind."""
    columns: Mapping[str, Any] = rows[0] if rows else {}
    if "mixed_groups" in columns:
        return GROUP_PANELS
    if "kept" in columns:
        return EXPERT_PANELS
    if "loss" in columns:
        return PAIR_PANELS if "accuracy" in columns else SFT_PANELS
    return PANELS


def reward_spread(rewards: Sequence[float]) -> Spread:
    """Return the first and the last decile of some rewards."""
    if len(rewards) < 2:
        return Spread(rewards[0], rewards[0])
    deciles = quantiles(rewards, n=10, method="inclusive")
    return Spread(deciles[0], deciles[-1])


def reward_spreads(samples: Iterable[Mapping[str, Any]]) -> list[Spread]:
    """Return the spread of the rewards in every phase, in order."""
    return [reward_spread([sample["reward"] for sample in phase_samples]) for phase_samples in by_phase(samples)]


def by_phase(samples: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the samples of each phase, in the order of the phases."""
    phases = defaultdict(list)
    for sample in samples:
        phases[sample["phase"]].append(sample)
    return [phases[phase] for phase in sorted(phases)]


def time_left(rows: Sequence[Mapping[str, Any]], total_phases: int) -> float:
    """Return the seconds that the remaining phases take if they are as fast as the latest five."""
    latest = [float(row["seconds"]) for row in rows[-5:]]
    return (total_phases - len(rows)) * sum(latest) / len(latest) if latest else float("nan")


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of the runs in a folder that have finished a phase, newest first."""
    runs = [path.parent for path in folder.glob("*/metrics.csv") if (path.parent / "config.json").is_file()]
    return sorted(runs, key=lambda path: (path / "config.json").stat().st_mtime, reverse=True)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
