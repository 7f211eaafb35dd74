"""Draw the figures of the class report, as SVG elements that use the colours of the page around them."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from rlhf_course.grading.reports.summary import STATES, ExerciseSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib draws with these placeholder colours, which are then replaced by the CSS variables of the page.
_INK, _ACCENT = "#010203", "#010204"
_STATE_COLOURS = dict(
    zip(STATES, ("#010205", "#010206", "#010207", "#010208", "#010209", "#01020a", "#01020b"), strict=True)
)
_PAGE_COLOURS = {_INK: "currentColor", _ACCENT: "var(--accent)"} | {
    colour: f"var(--{state})" for state, colour in _STATE_COLOURS.items()
}
_BINS = 10


def histogram(percents: Sequence[float]) -> Markup:
    """Return a histogram of the learners' scores in percent."""
    figure, axes = _figure(2.6)
    counts = [0] * _BINS
    for percent in percents:
        counts[min(_BINS - 1, max(0, int(percent * _BINS / 100)))] += 1
    bars = axes.bar([100 / _BINS * (index + 0.5) for index in range(_BINS)], counts, width=92 / _BINS, color=_ACCENT)
    axes.bar_label(bars, [count or "" for count in counts], color=_INK)
    axes.set(xlabel="score, % of the marks", ylabel="learners", xlim=(0, 100), xticks=range(0, 101, 100 // _BINS))
    axes.locator_params(axis="y", integer=True)
    return _svg(figure, "histogram")


def outcomes(exercises: Sequence[ExerciseSummary]) -> Markup:
    """Return bars that show, for each exercise, the shares of the class in each state."""
    figure, axes = _figure(1 + 0.3 * len(exercises))
    names = [exercise.name for exercise in exercises][::-1]
    left = [0.0] * len(names)
    for state in STATES:
        shares = [100 * exercise.share(state) for exercise in exercises][::-1]
        axes.barh(names, shares, left=left, color=_STATE_COLOURS[state], label=state, height=0.7)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set(xlabel="% of the learners", xlim=(0, 100))
    figure.legend(
        ncols=len(STATES),
        loc="outside upper center",
        frameon=False,
        labelcolor=_INK,
        fontsize=8,
        columnspacing=1,
        handlelength=1.2,
    )
    return _svg(figure, "outcomes")


def _figure(height: float) -> tuple["Figure", "Axes"]:
    """Return a transparent figure and its axes, with visible lines at the left and the bottom only."""
    from matplotlib.figure import Figure  # Loading matplotlib takes time, and not every command draws.

    figure = Figure((7.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _svg(figure: "Figure", name: str) -> Markup:
    """Return a figure as an SVG element, whose ids begin with `name` so that a page can hold several figures."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", text)
    for placeholder, colour in _PAGE_COLOURS.items():
        text = text.replace(placeholder, colour)
    return Markup(text.replace("<svg ", '<svg aria-hidden="true" ', 1))
