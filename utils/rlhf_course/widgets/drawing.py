"""Draw pictures with Matplotlib: SVG for live widgets, in the colours of the theme, PNG for static outputs.

Each picture has alternative text.
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

# Okabe and Ito's colours, which colour-blind people can distinguish, without those that are pale on white or on black.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
DASHES = ("-", "--", "-.", ":")

# The colour of text, axes and grid. In SVG it is replaced by the theme's text colour.
INK = "#1b1b1d"

_STYLE: dict[Any, Any] = {
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
# Matplotlib's rcParams are global to all threads, and a slider may move while a run's thread draws its curves.
_RC_LOCK = threading.Lock()


class Picture(NamedTuple):
    """A drawn figure.

    Attributes:
        svg: An `svg` element that takes on the colour of the text around it.
        png: The picture in dark on white; empty if no PNG was asked for.
        alt: The alternative text.
        seconds: The time that drawing took.
    """

    svg: str
    png: bytes
    alt: str
    seconds: float

    def svg_html(self) -> str:
        """Return HTML with the SVG, for a live widget."""
        label = html.escape(self.alt, quote=True)
        style = "color: var(--jp-content-font-color1, inherit)"
        return f'<div role="img" aria-label="{label}" style="{style}">{self.svg}</div>'

    def png_html(self) -> str:
        """Return HTML with the PNG, for a static output."""
        data = base64.b64encode(self.png).decode()
        alt = html.escape(self.alt, quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{data}" style="max-width: 100%"/>'


def draw(plot: Callable[[Figure], str], size: tuple[float, float], with_png: bool = True) -> Picture:
    """Draw a picture.

    Args:
        plot: A function that draws on a figure and returns the alternative text.
        size: Width and height in inches.
        with_png: Whether to make the PNG too.

    Returns:
        The picture.
    """
    start = time.perf_counter()
    with _RC_LOCK, matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size)
        alt = plot(figure)
        _set_margins(figure)
        svg = _inline_svg(_save(figure, "svg", transparent=True, metadata={"Date": None}).decode("utf-8"))
        png = _save(figure, "png", facecolor="white", dpi=110) if with_png else b""
    return Picture(svg, png, alt, time.perf_counter() - start)


def _set_margins(figure: Figure) -> None:
    """Set margins of fixed size, because a layout engine takes most of the time of a drawing; a plot may choose one."""
    if figure.get_layout_engine() is not None:
        return
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.6 / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.35 / height, wspace=0.3, hspace=0.45
    )


def _save(figure: Figure, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=image_format, **options)
    return buffer.getvalue()


def _inline_svg(svg: str) -> str:
    """Return the `svg` element alone, as wide as the page allows, and in the colour of the text around it."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    match = re.search(r'width="([\d.]+)pt"', svg)
    assert match is not None, "Matplotlib writes the width in points"
    max_width = float(match[1]) * 4 / 3
    svg = re.sub(r'(<svg[^>]*?)\swidth="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[\d.]+pt"', r"\1", svg, count=1)
    return svg.replace(
        "<svg", f'<svg aria-hidden="true" style="width: 100%; max-width: {max_width:.0f}px; height: auto"', 1
    )
