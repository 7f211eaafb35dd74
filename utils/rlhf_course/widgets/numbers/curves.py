"""The dashboard's curves: a run's metrics and the spread of its rewards, phase by phase."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

# What the dashboard draws, with what each is called. The KL is without its coefficient.
PANELS = {
    "mean_reward": "reward",
    "kl": "KL to the reference, nats a token",
    "value_loss": "value loss",
    "entropy": "entropy, nats a token",
    "clipfrac": "clip fraction",
    "lr": "learning rate",
}


class Spread(NamedTuple):
    """Where the rewards of a phase's texts lie: a tenth of them below `low`, a tenth above `high`."""

    low: float
    high: float


class Curves(NamedTuple):
    """A run as curves.

    Attributes:
        phases: the x of every curve.
        panels: by the names of `PANELS`, a number for each phase.
        spreads: of the rewards, one for each phase that has samples.
    """

    phases: list[int]
    panels: dict[str, list[float]]
    spreads: list[Spread]


def curves(rows: Sequence[Mapping[str, Any]], spreads: Sequence[Spread] = ()) -> Curves:
    """The curves of a run from its rows of metrics; what a row lacks is not a number."""
    panels = {name: [_number(row.get(name)) for row in rows] for name in PANELS}
    return Curves([int(row["phase"]) for row in rows], panels, list(spreads))


def spread(rewards: Sequence[float]) -> Spread:
    """The first and the last decile of some rewards."""
    if len(rewards) < 2:
        return Spread(rewards[0], rewards[0])
    deciles = quantiles(rewards, n=10, method="inclusive")
    return Spread(deciles[0], deciles[-1])


def spreads(samples: Iterable[Mapping[str, Any]]) -> list[Spread]:
    """The spread of every phase, in order."""
    return [spread([sample["reward"] for sample in some]) for some in by_phase(samples)]


def by_phase(samples: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The samples of each phase, in the order of the phases."""
    phases = defaultdict(list)
    for sample in samples:
        phases[sample["phase"]].append(sample)
    return [phases[phase] for phase in sorted(phases)]


def time_left(rows: Sequence[Mapping[str, Any]], total_phases: int) -> float:
    """Seconds that the remaining phases will take, if they are as the latest five."""
    latest = [float(row["seconds"]) for row in rows[-5:]]
    return (total_phases - len(rows)) * sum(latest) / len(latest) if latest else float("nan")


def run_folders(home: Path) -> list[Path]:
    """The runs in a folder of runs that have finished a phase, newest first."""
    found = [path.parent for path in home.glob("*/metrics.csv") if (path.parent / "config.json").is_file()]
    return sorted(found, key=lambda path: (path / "config.json").stat().st_mtime, reverse=True)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
