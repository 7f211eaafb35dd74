"""A learner's notebook of payloads in the formgrader and as feedback: no script runs, and an honest plot is seen."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab import Server

from rlhf_course.course import DEFAULT_PART
from rlhf_course.nbgrader_course.new_course import new_course

sys.path.append(str(Path(__file__).resolve().parents[1] / "semester"))
from classroom import found, run_nbgrader
from payloads import add_payloads, plot

NOTEBOOK = "07_optimizer"
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course with one submission, which is graded, and whose feedback is made."""
    from nbgrader.apps import AutogradeApp, GenerateAssignmentApp, GenerateFeedbackApp

    from rlhf_course.nbgrader_course.judging import Judgement

    folder = tmp_path_factory.mktemp("clean") / "course"
    new_course(folder)
    for path in (folder / "source" / DEFAULT_PART.name).glob("*.ipynb"):
        if path.stem != NOTEBOOK:
            path.unlink()
    run_nbgrader(GenerateAssignmentApp, folder, DEFAULT_PART.name)
    submitted = folder / "submitted" / "eve" / DEFAULT_PART.name
    shutil.copytree(folder / "release" / DEFAULT_PART.name, submitted)
    notebook = nbformat.read(submitted / f"{NOTEBOOK}.ipynb", as_version=4)
    assert add_payloads(notebook) >= 18
    nbformat.write(notebook, submitted / f"{NOTEBOOK}.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "rlhf_course.nbgrader_course.autograde.judge_folders",
            lambda folders, *_: {key: Judgement(found(0.5)) for key in folders},
        )
        run_nbgrader(AutogradeApp, folder, DEFAULT_PART.name)
    run_nbgrader(GenerateFeedbackApp, folder, DEFAULT_PART.name)
    return folder


@pytest.fixture(scope="module")
def formgrader(course, tmp_path_factory) -> Iterator[Server]:
    server = Server(course, tmp_path_factory.mktemp("formgrader"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


class Watched:
    """A page with all that a script of a learner would do to it.

    Args:
        browser: The browser.
    """

    def __init__(self, browser) -> None:
        self.page = browser.new_page()
        self.seen: list[str] = []
        self.page.on("dialog", lambda dialog: (self.seen.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: "ran.invalid" in request.url and self.seen.append(request.url))

    def touch(self) -> None:
        """Press every link of the learner's, point at every heading, and wait for what happens later."""
        self.page.wait_for_timeout(500)
        self.page.evaluate(
            """() => {
              for (const link of document.querySelectorAll('.rendered_html a')) {
                link.addEventListener('click', event => {
                  if (!link.href.startsWith('javascript:')) event.preventDefault();
                });
                link.click();
              }
              for (const element of document.querySelectorAll('.rendered_html *'))
                element.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
            }"""
        )
        self.page.wait_for_timeout(1000)

    def ran(self) -> list[str]:
        """Return the traces of scripts that ran."""
        found = self.page.evaluate("() => [window.ran, document.title.startsWith('ran-') && document.title]")
        return [*self.seen, *filter(None, found)]

    def plots(self) -> int:
        """Return the number of times that the honest plot is visible."""
        return self.page.evaluate(
            "source => Array.from(document.images).filter(picture => picture.src.endsWith(source) "
            "&& picture.naturalWidth > 100 && picture.getBoundingClientRect().width > 100).length",
            plot(),
        )


def test_the_payloads_run_where_nothing_is_cleaned(browser, course, tmp_path):
    from nbconvert import HTMLExporter

    submitted = course / "submitted" / "eve" / DEFAULT_PART.name / f"{NOTEBOOK}.ipynb"
    notebook = nbformat.read(submitted, as_version=4)
    notebook.metadata.pop("widgets")
    # nbconvert cannot convert these two, so they run nothing.
    notebook.cells = [cell for cell in notebook.cells if not re.search("attachment:|widget-view", str(cell))]
    (tmp_path / "page.html").write_text(HTMLExporter(template_name="classic").from_notebook_node(notebook)[0])
    watched = Watched(browser)
    watched.page.goto((tmp_path / "page.html").as_uri(), wait_until="domcontentloaded")
    watched.page.wait_for_timeout(1000)
    assert len(watched.seen) > 5, "the test hears the scripts"


def test_no_script_of_a_learner_runs_in_feedback_and_the_plot_is_seen(browser, course, artefacts):
    watched = Watched(browser)
    page = course / "feedback" / "eve" / DEFAULT_PART.name / f"{NOTEBOOK}.html"
    watched.page.goto(page.as_uri(), wait_until="domcontentloaded")
    watched.touch()
    watched.page.screenshot(path=artefacts / "feedback_clean.png", full_page=True)
    assert not watched.ran() and watched.plots() == 1
    assert watched.page.evaluate("() => Array.isArray(window.MathJax.tex2jax.inlineMath)"), "MathJax is configured"


def test_no_script_of_a_learner_runs_in_the_formgrader_and_the_plot_is_seen(browser, formgrader, artefacts):
    watched = Watched(browser)
    watched.page.set_default_timeout(180_000)
    address = f"http://127.0.0.1:{formgrader.port}"
    watched.page.goto(f"{address}/lab?token={formgrader.token}", wait_until="domcontentloaded")
    watched.page.goto(f"{address}/formgrader/gradebook/{DEFAULT_PART.name}/{NOTEBOOK}")
    watched.page.locator("td.name a").first.click()
    watched.page.locator("#check-get_optimizer").wait_for()
    watched.touch()
    watched.page.screenshot(path=artefacts / "formgrader_clean.png", full_page=True)
    assert not watched.ran() and watched.plots() == 1
    assert "hidden test" in watched.page.locator("body").inner_text()
