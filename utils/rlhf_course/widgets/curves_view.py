"""Draw a run's curves beside those of earlier runs."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.widgets.drawing import BLUE, DASHES, GREEN, PURPLE, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.curves import Curves

_SIZE = (10.0, 4.6)
_EARLIER_COLOURS = (VERMILION, GREEN, PURPLE)
# The judge's reward has the colour of its run, and a style that no other curve has.
_GOLD: dict[str, Any] = {"linestyle": (0, (1, 1)), "marker": ".", "markersize": 4, "linewidth": 1.0}


def draw_curves(name: str, run: Curves, earlier: Mapping[str, Curves], length: int, with_png: bool = True) -> Picture:
    """Draw the panels of the dashboard; where a run records the judge's reward, it is beside the mean reward.

    Args:
        name: The run's name.
        run: The run's curves, which may still be empty.
        earlier: The curves of the runs to compare with, by name.
        length: The number of phases on the x axis.
        with_png: Whether to make the PNG too.

    Returns:
        The picture.
    """

    def plot(figure: Figure) -> str:
        columns = len(run.panels) // 2
        panels = dict(zip(run.panels, figure.subplots(2, columns).flat, strict=True))
        main = next(iter(panels))
        for index, (label, other) in enumerate(earlier.items()):
            colour, dashes = _EARLIER_COLOURS[index % len(_EARLIER_COLOURS)], DASHES[1 + index % 3]
            for panel, axes in panels.items():
                if panel in other.panels:  # a run of another kind has others
                    axes.plot(other.phases, other.panels[panel], dashes, color=colour, lw=1.3, label=label)
            _plot_gold(panels[main], other, colour, f"gold of {label}")
        for panel, axes in panels.items():
            values = run.panels[panel]
            axes.plot(run.phases, values, color=BLUE, marker="" if _joins(values) else "o", label=name)
            axes.set(title=run.titles[panel], xlim=(0, max(length - 1, 1)))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _plot_gold(panels[main], run, BLUE, "gold (the judge)")
        _fill_spread(panels[main], run)
        for axes in list(panels.values())[columns:]:
            axes.set_xlabel("phase")
        if "lr" in panels:
            panels["lr"].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        if run.phases or earlier:
            panels[main].legend(loc="best", fontsize=8)
        return _alt_text(name, run, earlier)

    return draw(plot, _SIZE, with_png)


def _joins(values: Sequence[float]) -> bool:
    """Return whether two numbers follow each other, so that a line joins them."""
    return any(not math.isnan(first + second) for first, second in pairwise(values))


def _plot_gold(axes: Axes, run: Curves, colour: str, label: str) -> None:
    if run.gold:
        axes.plot(run.phases, run.gold, color=colour, label=label, **_GOLD)


def _fill_spread(axes: Axes, run: Curves) -> None:
    count = min(len(run.phases), len(run.spreads))
    if not count:
        return
    lows = [spread.low for spread in run.spreads[:count]]
    highs = [spread.high for spread in run.spreads[:count]]
    axes.fill_between(run.phases[:count], lows, highs, color=BLUE, alpha=0.2, lw=0, label="four texts in five")


def _alt_text(name: str, run: Curves, earlier: Mapping[str, Curves]) -> str:
    count = {4: "Four", 6: "Six"}[len(run.panels)]
    beside = f" Beside it, {', '.join(earlier)}." if earlier else ""
    if not run.phases:
        titles = ", ".join(run.titles.values())
        return f"{count} plots against the phase: {titles}. No phase of {name} has ended yet.{beside}"
    last = ", ".join(f"{run.titles[panel]} {_ends(values)}" for panel, values in run.panels.items())
    gold = f" The judge's gold reward beside the reward: {run.gold[0]:.3g} to {run.gold[-1]:.3g}." if run.gold else ""
    return (
        f"{count} plots of {name} against the phase, first to last of {len(run.phases)} phases: {last}.{gold}{beside}"
    )


def _ends(values: Sequence[float]) -> str:
    """Return the first and the last value; of a metric that is measured now and then, the measured ones."""
    measured = [value for value in values if not math.isnan(value)] or [math.nan]
    return f"{measured[0]:.3g} to {measured[-1]:.3g}"
