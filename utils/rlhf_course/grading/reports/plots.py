"""The class report's pictures, as SVG that stands inside a page and takes the page's colours."""

import io
import re
from collections.abc import Sequence

from markupsafe import Markup

from rlhf_course.grading.reports.summary import STATUSES, ExerciseSummary

# Colours that matplotlib draws with, and what the page has in their place.
_INK, _ACCENT = "#010203", "#010204"
_STATUS_COLOURS = dict(zip(STATUSES, ("#010205", "#010206", "#010207", "#010208", "#010209"), strict=True))
_PAGE_COLOURS = {_INK: "currentColor", _ACCENT: "var(--accent)"} | {
    colour: f"var(--{status})" for status, colour in _STATUS_COLOURS.items()
}
_BINS = 10


def histogram(percents: Sequence[float]) -> Markup:
    """How many learners have how many percent of the marks."""
    figure, axes = _figure(2.6)
    counts = [0] * _BINS
    for percent in percents:
        counts[min(_BINS - 1, max(0, int(percent * _BINS / 100)))] += 1
    bars = axes.bar([100 / _BINS * (place + 0.5) for place in range(_BINS)], counts, width=92 / _BINS, color=_ACCENT)
    axes.bar_label(bars, [count or "" for count in counts], color=_INK)
    axes.set(xlabel="score, % of the marks", ylabel="learners", xlim=(0, 100), xticks=range(0, 101, 100 // _BINS))
    axes.yaxis.get_major_locator().set_params(integer=True)
    return _svg(figure, "histogram")


def outcomes(exercises: Sequence[ExerciseSummary]) -> Markup:
    """What became of each exercise, as shares of the class."""
    figure, axes = _figure(1 + 0.3 * len(exercises))
    names = [exercise.name for exercise in exercises][::-1]
    left = [0.0] * len(names)
    for status in STATUSES:
        shares = [100 * one.counts[status] / max(1, sum(one.counts.values())) for one in exercises][::-1]
        axes.barh(names, shares, left=left, color=_STATUS_COLOURS[status], label=status, height=0.7)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set(xlabel="% of the learners", xlim=(0, 100))
    figure.legend(ncols=len(STATUSES), loc="outside upper center", frameon=False, labelcolor=_INK, fontsize=9)
    return _svg(figure, "outcomes")


def _figure(height: float):
    from matplotlib.figure import Figure

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


def _svg(figure, name: str) -> Markup:
    """The picture as an element; its ids begin with `name`, so that two pictures can stand in one page."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", text)
    for drawn, wanted in _PAGE_COLOURS.items():
        text = text.replace(drawn, wanted)
    return Markup(text.replace("<svg ", '<svg aria-hidden="true" ', 1))
