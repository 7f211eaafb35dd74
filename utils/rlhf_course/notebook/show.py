"""Text to the learner, in a notebook or a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

_COLOURS = {"passed": "green", "wrong": "red", "error": "red", "not attempted": "yellow"}


def say(*lines: str, status: str | None = None) -> None:
    """Print lines as they are, the first of them in the colour of a status."""
    text = Text("\n".join(lines))
    if lines and status in _COLOURS:
        text.stylize(f"bold {_COLOURS[status]}", 0, len(lines[0]))
    console().print(text)


def console(width: int | None = None) -> Console:
    """Rich's console of this moment: a notebook's, a terminal's, or one without colours."""
    plain = Console(highlight=False, width=width)
    # A terminal wraps lines by itself; a notebook would let the reader scroll sideways.
    plain.soft_wrap = width is None and not plain.is_jupyter
    return plain


def listed(names: Iterable[str]) -> str:
    """Names as a sentence lists them."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
