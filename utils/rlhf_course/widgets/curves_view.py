"""Draw a run's curves beside those of earlier runs."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.widgets.drawing import BLUE, DASHES, GREEN, PURPLE, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.curves import TITLES, Curves

_SIZE = (10.0, 4.6)
_EARLIER_COLOURS = (VERMILION, GREEN, PURPLE)
# The judge's reward has the colour of its run, and a style that no other curve has.
_GOLD: dict[str, Any] = {"linestyle": (0, (1, 1)), "marker": ".", "markersize": 4, "linewidth": 1.0}


def draw_curves(name: str, run: Curves, earlier: Mapping[str, Curves], length: int, with_png: bool = True) -> Picture:
    """Draw the six panels of the dashboard; where a run records the judge's reward, it is beside the mean reward.

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
        panels = dict(zip(run.panels, figure.subplots(2, 3).flat, strict=True))
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
            axes.set(title=TITLES[panel], xlim=(0, max(length - 1, 1)))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _plot_gold(panels[main], run, BLUE, "gold (the judge)")
        _fill_spread(panels[main], run)
        for axes in list(panels.values())[3:]:
            axes.set_xlabel("phase")
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
    beside = f" Beside it, {', '.join(earlier)}." if earlier else ""
    if not run.phases:
        titles = ", ".join(TITLES[panel] for panel in run.panels)
        return f"Six plots against the phase: {titles}. No phase of {name} has ended yet.{beside}"
    last = ", ".join(f"{TITLES[panel]} {values[0]:.3g} to {values[-1]:.3g}" for panel, values in run.panels.items())
    gold = f" The judge's gold reward beside the reward: {run.gold[0]:.3g} to {run.gold[-1]:.3g}." if run.gold else ""
    return f"Six plots of {name} against the phase, first to last of {len(run.phases)} phases: {last}.{gold}{beside}"
