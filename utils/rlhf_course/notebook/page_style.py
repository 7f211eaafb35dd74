"""Style a notebook's page: outputs break lines at words, and pictures follow the dark theme."""

from typing import Any

from rlhf_course.display import in_notebook

# JupyterLab breaks lines inside words, and Matplotlib draws on white. Turning the hue back keeps colours recognisable.
CSS = (
    ".jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; } "
    "[data-jp-theme-light='false'] .jp-Notebook img { filter: invert(0.93) hue-rotate(180deg); }"
)


def show_page_style(result: Any) -> None:
    """Display the style below the cell that imports the course; IPython calls this after each cell.

    A cell that runs again loses its earlier outputs, so the import alone, which runs once, cannot display it.

    Args:
        result: What IPython knows about the cell that ran.
    """
    if in_notebook() and "import rlhf_course.notebook" in (result.info.raw_cell or ""):
        from IPython.display import display

        display({"text/html": f"<style>{CSS}</style>", "text/plain": ""}, raw=True)
