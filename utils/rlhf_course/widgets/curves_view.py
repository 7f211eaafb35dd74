"""A run's curves, beside those of earlier runs."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.widgets.drawing import BLUE, DASHES, GREEN, PURPLE, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.curves import PANELS, Curves

_SIZE = (10.0, 4.6)
_EARLIER_COLOURS = (VERMILION, GREEN, PURPLE)


def draw_curves(name: str, run: Curves, earlier: Mapping[str, Curves], length: int, keep: bool = True) -> Picture:
    """Draw the six panels of the dashboard.

    Args:
        name: the run's.
        run: its curves; they may still be empty.
        earlier: runs to compare with, by name.
        length: phases that the plots have room for.
        keep: make the PNG too.
    """

    def plot(figure: Figure) -> str:
        panels = dict(zip(PANELS, figure.subplots(2, 3).flat, strict=True))
        for number, (other, theirs) in enumerate(earlier.items()):
            colour = _EARLIER_COLOURS[number % len(_EARLIER_COLOURS)]
            for panel, axes in panels.items():
                axes.plot(
                    theirs.phases, theirs.panels[panel], DASHES[1 + number % 3], color=colour, lw=1.3, label=other
                )
        for panel, axes in panels.items():
            axes.plot(run.phases, run.panels[panel], color=BLUE, marker="o" if len(run.phases) < 2 else "", label=name)
            axes.set(title=PANELS[panel], xlim=(0, max(length - 1, 1)))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _band(panels["mean_reward"], run)
        for axes in list(panels.values())[3:]:
            axes.set_xlabel("phase")
        panels["lr"].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        if run.phases or earlier:
            panels["mean_reward"].legend(loc="best", fontsize=8)
        return _in_words(name, run, earlier)

    return draw(plot, _SIZE, keep)


def _band(axes: object, run: Curves) -> None:
    count = min(len(run.phases), len(run.spreads))
    lows, highs = [one.low for one in run.spreads[:count]], [one.high for one in run.spreads[:count]]
    axes.fill_between(run.phases[:count], lows, highs, color=BLUE, alpha=0.2, lw=0, label="four texts in five")


def _in_words(name: str, run: Curves, earlier: Mapping[str, Curves]) -> str:
    beside = f" Beside it, {', '.join(earlier)}." if earlier else ""
    if not run.phases:
        return f"Six plots against the phase: {', '.join(PANELS.values())}. No phase of {name} has ended yet.{beside}"
    last = ", ".join(
        f"{label} {run.panels[panel][0]:.3g} to {run.panels[panel][-1]:.3g}" for panel, label in PANELS.items()
    )
    return f"Six plots of {name} against the phase, first to last of {len(run.phases)} phases: {last}.{beside}"
