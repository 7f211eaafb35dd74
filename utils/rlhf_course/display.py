"""Tell whether output goes to a notebook's front end or to a terminal."""

import sys


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel, whose front end may show widgets."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
