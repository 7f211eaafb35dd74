"""One JupyterLab and one browser for all tests here, on a desk with the reference answers and two recorded runs."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Notebook, Server, browser_path

from rlhf_course.course import DEFAULT_PART
from rlhf_course.paths import REPOSITORY

_HERE = Path(__file__).resolve().parent
ARTEFACTS = REPOSITORY / "artefacts" / "browser"
_NO_BROWSER = (
    "no Chromium on this machine, in which the notebooks could be opened: on Debian or Ubuntu `apt-get install chromium`, or name "
    "one by RLHF_COURSE_BROWSER=/path/to/chrome"
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
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The learner's folder with every exercise solved, and with two runs in `runs/`."""
    home = tmp_path_factory.mktemp("desk") / "notebooks"
    shutil.copytree(REPOSITORY / "notebooks", home, ignore=shutil.ignore_patterns("__pycache__", ".*", "runs"))
    for answer in (REPOSITORY / "solutions" / DEFAULT_PART.name).glob("*.py"):
        shutil.copy(answer, home / DEFAULT_PART.name)
    shutil.copytree(_HERE / "runs", home / "runs")
    return home


@pytest.fixture(scope="session")
def server(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab on that desk."""
    if browser_path() is None:
        if os.environ.get("CI"):
            pytest.fail(_NO_BROWSER)
        pytest.skip(_NO_BROWSER)
    started = Server(desk, tmp_path_factory.mktemp("jupyter"))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[object]:
    """A headless Chromium. Playwright keeps an event loop running, so it must be gone before other tests run one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture
def notebook(browser, server: Server) -> Iterator[Callable[[str], Notebook]]:
    """Opens a notebook in a page of its own; its kernel ends with the test."""
    pages = []

    def open_one(name: str) -> Notebook:
        pages.append(browser.new_page(viewport={"width": 1280, "height": 1600}))
        return Notebook(pages[-1], server, name)

    yield open_one
    for page in pages:
        page.close()
    server.end_kernels()


@pytest.fixture
def artefacts() -> Path:
    """Where screenshots are kept."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS
