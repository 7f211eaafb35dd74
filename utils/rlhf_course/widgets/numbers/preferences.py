"""Read part 2's recorded figures of several seeds, and compute the bands that its pictures draw."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any

from rlhf_course.paths import RECORDED_RUNS
from rlhf_course.widgets.numbers.bands import Band, Point, band

# The width of a bin of the root of the KL, in which a run's phases are averaged.
BIN_WIDTH = 0.5
_BINS_OF_CALIBRATION = 10
Columns = Mapping[str, Sequence[float]]


@cache
def recorded_seeds() -> dict[int, dict[str, Any]]:
    """Return the recorded figures of each seed, in order."""
    files = RECORDED_RUNS.glob("preferences_seed*.json")
    seeds = {int(file.stem.removeprefix("preferences_seed")): json.loads(file.read_text()) for file in files}
    return dict(sorted(seeds.items()))


def calibration_band(who: str) -> Band:
    """Return how often "labeller" or "judge" agrees with a reward model, against how sure the model is."""

    def points(bins: Iterable[Mapping[str, float]]) -> list[Point]:
        return [Point(int(part["said"] * _BINS_OF_CALIBRATION), part["said"], part[who]) for part in bins]

    return band([points(seed["reward_model"]["calibration"]) for seed in recorded_seeds().values()])


def pairs_band(model: str) -> Band:
    """Return the held-out accuracy of "whole" models or of "linear" heads, against the number of pairs."""
    measured = [seed["accuracy_by_pairs"]["sizes"] for seed in recorded_seeds().values() if "accuracy_by_pairs" in seed]
    return band([[Point(int(size), int(size), sizes[size][model]) for size in sizes] for sizes in measured])


def policy_band(penalty: str, reward: str) -> Band:
    """Return a reward of the policies against the root of the KL of a text, averaged in bins of the root.

    Args:
        penalty: "without" or "with" a KL penalty.
        reward: "proxy", "gold" or "classifier".
    """

    def points(curve: Columns) -> list[Point]:
        return [Point(root // BIN_WIDTH, root, y) for root, y in zip(roots(curve), curve[reward], strict=True)]

    return band([points(seed["policies"][penalty]) for seed in recorded_seeds().values()])


def best_of_n_band(reward: str) -> Band:
    """Return a reward of the best of n texts against the root of the KL of a text."""
    return band([_at_distance(seed["best_of_n"], "n", reward) for seed in recorded_seeds().values()])


def dpo_band(reward: str) -> Band:
    """Return a reward of the policies that DPO trains against the root of the KL of a text."""
    return band([_at_distance(seed["dpo"]["path"], "step", reward) for seed in recorded_seeds().values()])


def log_ratio_band(side: str) -> Band:
    """Return the mean log-ratio of the "chosen" or "rejected" texts of each step of DPO."""
    ratios = [seed["dpo"]["log_ratios"][side] for seed in recorded_seeds().values()]
    return band([[Point(step, step, ratio) for step, ratio in enumerate(of_steps)] for of_steps in ratios])


def _at_distance(columns: Columns, key: str, reward: str) -> list[Point]:
    rows = zip(columns[key], roots(columns), columns[reward], strict=True)
    return [Point(*row) for row in rows]


def roots(columns: Columns) -> list[float]:
    """Return the root of the KL of a text, for each row."""
    return [math.sqrt(max(0.0, kl)) for kl in columns["kl"]]


def smoothed(values: Sequence[float], width: int = 5) -> list[float]:
    """Return the mean of each run of `width` values that follow each other."""
    return [fmean(values[start : start + width]) for start in range(len(values) - width + 1)]


def columns_of(rows: Sequence[Mapping[str, Any]], gen_len: int) -> dict[str, list[float]]:
    """Return the columns of a policy's run: the KL of a text, and the rewards under proxy and judge."""
    return {
        "kl": [float(row["kl"]) * gen_len for row in rows],
        "proxy": [float(row["mean_reward"]) for row in rows],
        "gold": [float(row["gold"]) for row in rows],
    }
