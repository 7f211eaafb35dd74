"""Draw a run's curves beside those of earlier runs."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.widgets.drawing import BLUE, DASHES, GREEN, PURPLE, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.curves import PANELS, Curves

_SIZE = (10.0, 4.6)
_EARLIER_COLOURS = (VERMILION, GREEN, PURPLE)


def draw_curves(name: str, run: Curves, earlier: Mapping[str, Curves], length: int, with_png: bool = True) -> Picture:
    """Draw the six panels of the dashboard.

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
        panels = dict(zip(PANELS, figure.subplots(2, 3).flat, strict=True))
        for index, (label, other) in enumerate(earlier.items()):
            colour, dashes = _EARLIER_COLOURS[index % len(_EARLIER_COLOURS)], DASHES[1 + index % 3]
            for panel, axes in panels.items():
                axes.plot(other.phases, other.panels[panel], dashes, color=colour, lw=1.3, label=label)
        for panel, axes in panels.items():
            axes.plot(run.phases, run.panels[panel], color=BLUE, marker="o" if len(run.phases) < 2 else "", label=name)
            axes.set(title=PANELS[panel], xlim=(0, max(length - 1, 1)))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _fill_spread(panels["mean_reward"], run)
        for axes in list(panels.values())[3:]:
            axes.set_xlabel("phase")
        panels["lr"].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        if run.phases or earlier:
            panels["mean_reward"].legend(loc="best", fontsize=8)
        return _alt_text(name, run, earlier)

    return draw(plot, _SIZE, with_png)


def _fill_spread(axes: Axes, run: Curves) -> None:
    count = min(len(run.phases), len(run.spreads))
    lows = [spread.low for spread in run.spreads[:count]]
    highs = [spread.high for spread in run.spreads[:count]]
    axes.fill_between(run.phases[:count], lows, highs, color=BLUE, alpha=0.2, lw=0, label="four texts in five")


def _alt_text(name: str, run: Curves, earlier: Mapping[str, Curves]) -> str:
    beside = f" Beside it, {', '.join(earlier)}." if earlier else ""
    if not run.phases:
        return f"Six plots against the phase: {', '.join(PANELS.values())}. No phase of {name} has ended yet.{beside}"
    last = ", ".join(
        f"{label} {run.panels[panel][0]:.3g} to {run.panels[panel][-1]:.3g}" for panel, label in PANELS.items()
    )
    return f"Six plots of {name} against the phase, first to last of {len(run.phases)} phases: {last}.{beside}"
