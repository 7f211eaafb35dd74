"""Where a widget goes: live into a notebook, with a picture that is saved; as text elsewhere."""

import html
from collections.abc import Callable
from typing import Any, NamedTuple

from rlhf_course.display import in_notebook

# The saved picture gives way wherever the live widget stands beside it.
# Where there is no live widget, the picture takes the place of the message that JupyterLab would show: widgets alone
# stand in outputs without a MIME type.
_GIVE_WAY = (
    "<style>.jp-OutputArea:has(.rlhf-live) .rlhf-kept, .jp-OutputArea:has(.rlhf-kept):not(:has(.rlhf-live)) "
    ".jp-OutputArea-output:not([data-mime-type]) { display: none; }</style>"
)
_NO_KERNEL = "A live widget: run this cell to use it. Below is a picture of it."


class Kept(NamedTuple):
    """What is saved in the notebook for readers without a kernel.

    Attributes:
        html: a picture with alternative text, or a table.
        text: the same in words, for readers without pictures.
    """

    html: str
    text: str

    def bundle(self) -> dict[str, str]:
        """As an output of a cell."""
        return {"text/html": f'{_GIVE_WAY}<div class="rlhf-kept">{self.html}</div>', "text/plain": self.text}


class Shown:
    """A widget on the page, with the picture that is saved beside it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def keep(self, kept: Kept) -> None:
        """Save another picture in place of the first."""
        if self._handle is not None:
            self._handle.update(kept.bundle(), raw=True)


def show(make: Callable[[], Any], kept: Kept) -> Shown:
    """Display a widget with its saved picture; outside a notebook, print the words.

    Args:
        make: makes the ipywidget; called in a notebook alone.
        kept: its picture.
    """
    if not in_notebook():
        print(kept.text)
        return Shown(None)
    from IPython.display import display

    widget = make()
    widget.add_class("rlhf-live")
    live = widget._repr_mimebundle_()
    live = live[0] if isinstance(live, tuple) else live
    display({**live, "text/plain": _NO_KERNEL}, raw=True)
    return Shown(display(kept.bundle(), raw=True, display_id=True))


def words(text: str) -> str:
    """Text as HTML that a screen reader announces when it changes."""
    return f'<div role="status" style="line-height: 1.5">{text}</div>'


def escaped(text: str) -> str:
    """Text to stand in HTML, its line breaks made visible."""
    return html.escape(text.replace("\n", "⏎"), quote=True)
