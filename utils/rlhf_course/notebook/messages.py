"""Show messages to the learner, in a notebook or a terminal."""

import html
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from rlhf_course.display import in_notebook

_COLOURS = {"passed": "green", "wrong": "red", "error": "red", "not attempted": "yellow"}
# These colours differ from each other and from the background in the light and in the dark theme.
_HTML_COLOURS = {"passed": "#1f883d", "wrong": "#d1384f", "error": "#d1384f", "not attempted": "#a06a00"}
# Long lines wrap at words; JupyterLab would break inside them. The padding shows the underscores of the last line.
_STYLE = (
    "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; line-height: 1.4; "
    "padding-bottom: 0.3em; margin: 0"
)


def show_message(*lines: str, status: str | None = None, file: TextIO | None = None) -> None:
    """Show lines to the learner.

    Args:
        lines: The lines, which may hold any characters.
        status: The status of a check whose colour the first line has; None for no colour.
        file: The stream that a terminal's lines are written to; None for `sys.stdout`.
    """
    if in_notebook():
        from IPython.display import display

        display({"text/html": _as_html(lines, status), "text/plain": "\n".join(lines)}, raw=True)
        return
    text = Text("\n".join(lines))
    if lines and status in _COLOURS:
        text.stylize(f"bold {_COLOURS[status]}", 0, len(lines[0]))
    console(file=file).print(text)


def _as_html(lines: Iterable[str], status: str | None) -> str:
    first, *others = map(html.escape, lines)
    if status in _HTML_COLOURS:
        first = f'<b style="color: {_HTML_COLOURS[status]}">{first}</b>'
    return f'<pre style="{_STYLE}">{chr(10).join([first, *others])}</pre>'


def console(width: int | None = None, file: TextIO | None = None) -> Console:
    """Return a new Rich console for the current output: a notebook, a terminal, or a file without colours."""
    plain = Console(highlight=False, width=width, file=file)
    # A terminal wraps long lines itself; a notebook would show a horizontal scroll bar.
    plain.soft_wrap = width is None and not plain.is_jupyter
    return plain


NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number_range(numbers: Sequence[float], form: str, word: str = "to") -> str:
    """Return the lowest and the highest number as "2 to 3", or one of them if they read the same."""
    low, high = (_formatted(number, form) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low} {word} {high}"


def _formatted(number: float, form: str) -> str:
    """Return a number as text, with a proper minus sign, and without one where it reads as 0."""
    text = format(number, form)
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else text.removeprefix("-")


def join_names(names: Iterable[str], word: str = "and") -> str:
    """Join names as a sentence lists them, with a word before the last one: "a, b and c"."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}" if names else ""
