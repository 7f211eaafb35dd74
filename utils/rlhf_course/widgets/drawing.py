"""Pictures that read in light and dark, with alternative text: vector graphics where they are live, PNG where they are kept.

Matplotlib draws them all.
"""

import base64
import html
import io
import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

# Okabe and Ito's colours, safe for the colour-blind; those that are pale on white or on black are left out.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
DASHES = ("-", "--", "-.", ":")

# Everything that is neither a curve nor white: the theme's text colour takes its place where the picture is live.
INK = "#1b1b1d"

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rlhf",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}
# Matplotlib's settings are one for all threads, and a slider may move while a run draws its curves.
_one_at_a_time = threading.Lock()


class Picture(NamedTuple):
    """A drawn figure.

    Attributes:
        svg: for a page of either theme; it takes on the colour of the text around it.
        png: dark on white.
        alt: what it shows, in words.
        seconds: what drawing it took.
    """

    svg: str
    png: bytes
    alt: str
    seconds: float

    def live(self) -> str:
        """HTML for a widget."""
        label = html.escape(self.alt, quote=True)
        return f'<div role="img" aria-label="{label}" style="color: var(--jp-content-font-color1, inherit)">{self.svg}</div>'

    def kept(self) -> str:
        """HTML for an output that is saved in the notebook."""
        data = base64.b64encode(self.png).decode()
        return f'<img alt="{html.escape(self.alt, quote=True)}" src="data:image/png;base64,{data}" style="max-width: 100%"/>'


def draw(plot: Callable[[Figure], str], size: tuple[float, float], keep: bool = True) -> Picture:
    """Draw a picture.

    Args:
        plot: draws on a figure, and returns the picture's alternative text.
        size: in inches.
        keep: make the PNG too.
    """
    began = time.perf_counter()
    with _one_at_a_time, matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size)
        alt = plot(figure)
        _set_margins(figure)
        svg = _themed(_saved(figure, "svg", transparent=True, metadata={"Date": None}).decode("utf-8"))
        png = _saved(figure, "png", facecolor="white", dpi=110) if keep else b""
    return Picture(svg, png, alt, time.perf_counter() - began)


def _set_margins(figure: Figure) -> None:
    """Margins of fixed size: finding the best ones would take most of the time of a drawing."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.35 / height, wspace=0.3, hspace=0.45
    )


def _saved(figure: Figure, kind: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **how)
    return buffer.getvalue()


def _themed(svg: str) -> str:
    """The bare `svg` element, as wide as there is room, its ink the colour of the text around it."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    width = re.search(r'width="([\d.]+)pt"', svg)[1]
    svg = re.sub(r'(<svg[^>]*?)\swidth="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[\d.]+pt"', r"\1", svg, count=1)
    return svg.replace(
        "<svg", f'<svg aria-hidden="true" style="width: 100%; max-width: {float(width) * 4 / 3:.0f}px; height: auto"', 1
    )
