"""Notebooks of each part in JupyterLab and a browser, with the reference answers.

Every notebook runs in `learner/test_notebooks_run.py`, without a browser.
"""

import json

import pytest

from rlhf_course.course import EXERCISES
from rlhf_course.paths import REPOSITORY

BUILT = sorted(path.name for path in (REPOSITORY / "notebooks").glob("[0-9][0-9]_*.ipynb"))

# One in three, among them notebooks 8 and 17, which train.
SAMPLED = BUILT[1::3]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook, artefacts, name):
    page = notebook(name)
    page.run_all()
    page.page.screenshot(path=artefacts / f"{name.removesuffix('.ipynb')}.png")
    assert page.errors() == []
    text = page.page.locator(".jp-Notebook").inner_text()
    for exercise in EXERCISES:
        if f"{exercise.notebook}.ipynb" == name:
            assert f"{exercise.name}: passed" in text
    saved = json.loads(page.save().read_text())
    outputs = [output.get("data", {}) for cell in saved["cells"] for output in cell.get("outputs", [])]
    # The progress bar of a run without a dashboard is a widget of another library, without a static output.
    widgets = [
        data
        for data in outputs
        if "application/vnd.jupyter.widget-view+json" in data and "".join(data["text/plain"]) != "Output()"
    ]
    static_outputs = [data for data in outputs if "rlhf-kept" in "".join(data.get("text/html", ""))]
    assert len(static_outputs) == len(widgets) > 0, "every widget has a static output"
    for data in static_outputs:
        assert "".join(data["text/plain"]).strip()
        html = "".join(data["text/html"])
        assert html.count("<img") == html.count('<img alt="')
