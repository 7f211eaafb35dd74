"""How JupyterLab looks to a learner: without buttons for instructors, with whole words, light and dark."""

import json

import pytest
from test_browser_widgets import write_notebook

CELLS = (
    "import rlhf_course.notebook\nimport matplotlib.pyplot as plt",
    'print("long_words " * 40)',
    'rlhf_course.notebook.magic.show_message("long_words " * 40)',
    "plt.plot([1, 2]); plt.show()",
)


@pytest.fixture
def page(notebook, workspace):
    page = notebook(write_notebook(workspace, "looks.ipynb", CELLS))
    page.run_all()
    return page


def test_learners_see_no_buttons_for_instructors_and_no_news(page):
    config = json.loads(page.page.locator("#jupyter-config-data").inner_text())
    assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
    commands = page.page.evaluate("() => window.jupyterapp.commands.listCommands()")
    assert not [name for name in commands if "formgrader" in name or "create-assignment" in name]
    for text in ("Create Assignment", "Nbgrader", "Validate"):
        assert page.page.get_by_text(text, exact=True).count() == 0, text


def test_lines_break_at_words(page):
    page.command("application:toggle-left-area")
    for cell in CELLS[1:3]:
        breaking = (
            page.cell(cell)
            .locator("pre")
            .evaluate_all("elements => elements.map(element => getComputedStyle(element).wordBreak)")
        )
        assert breaking and set(breaking) == {"normal"}


def test_pictures_follow_the_theme(page, artefacts):
    picture = page.cell("plt.plot").locator("img")
    for theme, inverted in (("JupyterLab Dark", True), ("JupyterLab Light", False)):
        page.command("apputils:change-theme", theme=theme)
        page.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        style = picture.evaluate("element => getComputedStyle(element).filter")
        assert ("invert" in style) == inverted
        page.page.screenshot(path=artefacts / f"looks_{theme.split()[1].lower()}.png")


def test_the_style_returns_when_the_first_cell_runs_again(page):
    page.run_all()
    assert page.cell("import rlhf_course.notebook").locator("style").count() == 1
