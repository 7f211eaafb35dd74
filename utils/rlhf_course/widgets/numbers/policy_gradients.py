"""Read part 3's recorded figures of several seeds, and compute the bands that its pictures draw."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

from rlhf_course.paths import RECORDED_RUNS
from rlhf_course.widgets.numbers.bands import Band, Point, band


@cache
def recorded_seeds() -> dict[int, dict[str, Any]]:
    """Return the recorded figures of each seed, in order."""
    files = RECORDED_RUNS.glob("policy_gradients_seed*.json")
    seeds = {int(file.stem.removeprefix("policy_gradients_seed")): json.loads(file.read_text()) for file in files}
    return dict(sorted(seeds.items()))


def recorded_of(name: str) -> list[dict[str, Any]]:
    """Return the figures of a run by its name, such as "grpo", for each seed that has it."""
    return [seed["runs"][name] for seed in recorded_seeds().values() if name in seed["runs"]]


def held_out_band(name: str, against: str) -> Band:
    """Return a run's accuracy on held-out prompts, against its "phase" or the "tokens" that it has sampled."""

    def points(held_out: Mapping[str, Sequence[float]]) -> list[Point]:
        return [Point(*row) for row in zip(held_out["phase"], held_out[against], held_out["sampled"], strict=True)]

    return band([points(run["held_out"]) for run in recorded_of(name)])


def phase_band(name: str, column: str) -> Band:
    """Return a column of a run, such as "entropy", against the phase, counted from 1."""
    return band([[Point(phase, phase, y) for phase, y in enumerate(run[column], 1)] for run in recorded_of(name)])


def pass_at_k_band(name: str) -> Band:
    """Return pass@k of the model that a run ends with, against k."""
    seeds = [seed["pass_at_k"] for seed in recorded_seeds().values() if name in seed["pass_at_k"]]
    return band([[Point(*row) for row in zip(seed["k"], seed["k"], seed[name], strict=True)] for seed in seeds])


class Measured(NamedTuple):
    """Where a learner's run measured its held-out accuracy: the phase, counted from 1, and the tokens until then."""

    phase: int
    tokens: float
    accuracy: float


def measured_of(rows: Sequence[Mapping[str, Any]]) -> list[Measured]:
    """Return the phases of a run that measured accuracy on held-out prompts."""
    tokens = accumulate(number(row.get("sampled_tokens")) for row in rows)
    found = [
        Measured(int(row["phase"]) + 1, sampled, number(row.get("held_out_accuracy")))
        for row, sampled in zip(rows, tokens, strict=True)
    ]
    return [point for point in found if not math.isnan(point.accuracy)]


def number(value: Any) -> float:
    """Return a metric as a float; NaN where it was not measured."""
    return float(value) if isinstance(value, int | float) else math.nan
