"""Plot bands over seeds, and put what they show into words."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_course.widgets.numbers.bands import Band


def axes_with_room_for_labels(figure: Figure) -> Axes:
    """Return axes whose margins are as wide as their labels; these pictures are drawn once."""
    figure.set_layout_engine("constrained")
    return figure.subplots()


def plot_band(axes: Axes, values: Band, label: str, colour: str, style: str = "-", marker: str = "") -> str:
    """Plot a band, and return what it shows: the first, the largest and the last mean, each with its spread."""
    axes.fill_between(values.x, values.low, values.high, color=colour, alpha=0.2, lw=0)
    axes.plot(values.x, values.mean, linestyle=style, marker=marker, markersize=4, color=colour, label=label)
    names = {0: "first", values.mean.index(max(values.mean)): "largest", len(values.x) - 1: "last"}
    shown = []
    for index, name in names.items():
        spread = f"{values.low[index]:.2f} to {values.high[index]:.2f}"
        shown.append(f"{name} {values.mean[index]:.2f} ({spread}) at {values.x[index]:.4g}")
    return f"{label}: {', '.join(shown)}"
