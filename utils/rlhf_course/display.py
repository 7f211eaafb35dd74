"""Where output goes: a notebook's front end, or a terminal."""

import sys


def in_notebook() -> bool:
    """Whether this runs in a kernel, whose front end may show widgets."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
