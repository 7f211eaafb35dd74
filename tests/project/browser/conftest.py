"""Fixtures of the browser tests: one JupyterLab and one browser, with the reference answers and two recorded runs."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Notebook, Server, browser_path

from rlhf_course.course import PARTS
from rlhf_course.paths import RECORDED_RUNS, REPOSITORY

# As in the rule `learn` of the Makefile.
LAB_SETTINGS = REPOSITORY / "utils/rlhf_course/notebook/jupyter"
ARTEFACTS = REPOSITORY / "artefacts" / "browser"
_NO_BROWSER = (
    "no Chromium found to open the notebooks in: on Debian or Ubuntu run `apt-get install chromium`, or set "
    "RLHF_COURSE_BROWSER=/path/to/chrome"
)
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).resolve().parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The learner's folder with every exercise solved, and with two runs in `runs/`."""
    home = tmp_path_factory.mktemp("workspace") / "notebooks"
    shutil.copytree(REPOSITORY / "notebooks", home, ignore=shutil.ignore_patterns("__pycache__", ".*", "runs"))
    for part in PARTS:
        for answer in (REPOSITORY / "solutions" / part.name).glob("*.py"):
            shutil.copy(answer, home / part.name)
    for run in ("collapse", "periods"):
        shutil.copytree(RECORDED_RUNS / run, home / "runs" / run)
    return home


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of a browser. Where there is none, the tests are skipped, and in CI they fail."""
    if (path := browser_path()) is None:
        if os.environ.get("CI"):
            pytest.fail(_NO_BROWSER)
        pytest.skip(_NO_BROWSER)
    return path


@pytest.fixture(scope="session")
def server(chromium_path: str, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab server in the learner's folder."""
    lab_server = Server(workspace, tmp_path_factory.mktemp("jupyter"), LAB_SETTINGS)
    try:
        lab_server.wait()
        yield lab_server
    finally:
        lab_server.stop()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[object]:
    """A headless Chromium for a module: other tests cannot run an event loop while Playwright's is running."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, headless=True, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def notebook(browser, server: Server) -> Iterator[Callable[[str], Notebook]]:
    """A function that opens a notebook in a new page; pages and kernels are closed after the test."""
    pages = []

    def open_notebook(name: str) -> Notebook:
        pages.append(browser.new_page(viewport={"width": 1280, "height": 1600}))
        return Notebook(pages[-1], server, name)

    yield open_notebook
    for page in pages:
        page.close()
    server.end_kernels()


@pytest.fixture
def artefacts() -> Path:
    """The folder of the screenshots."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS
