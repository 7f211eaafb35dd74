"""Display a widget: live in a notebook, with a static output that the notebook file keeps; as text elsewhere."""

import html
from collections.abc import Callable
from typing import Any, NamedTuple

from rlhf_course.display import in_notebook

# The static output is hidden wherever the live widget is displayed. Where the widget is not displayed, the static
# output replaces JupyterLab's error message, which is the only kind of output that has no MIME type.
_VISIBILITY_CSS = (
    "<style>.jp-OutputArea:has(.rlhf-live) .rlhf-kept, .jp-OutputArea:has(.rlhf-kept):not(:has(.rlhf-live)) "
    ".jp-OutputArea-output:not([data-mime-type]) { display: none; }</style>"
)
_NO_KERNEL = "This is a live widget: run this cell to use it. A picture of it is below."


class StaticOutput(NamedTuple):
    """The output that a notebook file keeps for readers without a kernel.

    Attributes:
        html: A picture with alternative text, or a table.
        text: The same content as plain text, for displays without HTML.
    """

    html: str
    text: str

    def mime_bundle(self) -> dict[str, str]:
        """Return the output of a cell by MIME type."""
        return {"text/html": f'{_VISIBILITY_CSS}<div class="rlhf-kept">{self.html}</div>', "text/plain": self.text}


class DisplayedOutput:
    """A displayed widget, whose static output can be updated.

    Args:
        handle: IPython's display handle of the static output; None outside a notebook.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def update(self, static: StaticOutput) -> None:
        """Replace the static output."""
        if self._handle is not None:
            self._handle.update(static.mime_bundle(), raw=True)


def show(make_widget: Callable[[], Any], static: StaticOutput) -> DisplayedOutput:
    """Display a widget and its static output; outside a notebook, print the text.

    Args:
        make_widget: A function that makes the ipywidget; it is called only in a notebook.
        static: The output for readers without a kernel.

    Returns:
        The displayed output.
    """
    if not in_notebook():
        print(static.text)
        return DisplayedOutput(None)
    from IPython.display import display

    widget = make_widget()
    widget.add_class("rlhf-live")
    live = widget._repr_mimebundle_()
    live = live[0] if isinstance(live, tuple) else live
    display({**live, "text/plain": _NO_KERNEL}, raw=True)
    return DisplayedOutput(display(static.mime_bundle(), raw=True, display_id=True))


def status_html(text: str) -> str:
    """Wrap HTML text so that a screen reader announces it when it changes."""
    return f'<div role="status" style="line-height: 1.5">{text}</div>'


def escape_html(text: str) -> str:
    """Escape text for HTML, with a visible sign for each line break."""
    return html.escape(text.replace("\n", "⏎"), quote=True)
