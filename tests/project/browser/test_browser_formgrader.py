"""nbgrader in JupyterLab and a browser: the instructor's formgrader and the learner's list of assignments."""

import shutil
from collections.abc import Iterator

import pytest
from lab import Server

from rlhf_course.course import DEFAULT_PART
from rlhf_course.nbgrader_course.new_course import new_course
from rlhf_course.paths import REPOSITORY

NOTEBOOKS = ("04_sampling_and_rewards", "07_optimizer")
_TIMEOUT_MS = 180_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[tuple[Server, Server]]:
    """The JupyterLab servers of an instructor, in a course of two notebooks, and of a learner."""
    home = tmp_path_factory.mktemp("formgrader")
    course, learner = home / "course", home / "learner"
    new_course(course, exchange=home / "exchange")
    for path in (course / "source" / DEFAULT_PART.name).glob("*.ipynb"):
        if path.stem not in NOTEBOOKS:
            path.unlink()
    learner.mkdir()
    shutil.copy(course / "for_learners/nbgrader_config.py", learner)
    started = [Server(folder, home / f"jupyter-{folder.name}") for folder in (course, learner)]
    try:
        for server in started:
            server.wait()
        yield tuple(started)
    finally:
        for server in started:
            server.stop()


def open_from_menu(browser, server: Server, item: str):
    """Open JupyterLab in a new page, choose an item of its menu Nbgrader, and return the page."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(_TIMEOUT_MS)
    page.goto(f"http://127.0.0.1:{server.port}/lab?token={server.token}")
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_role("menuitem", name=item, exact=True).first.click()
    return page


def press(frame, column: str) -> None:
    """Press the formgrader's button in a column of the first row, and assert that its dialog reports success."""
    frame.locator(f"tr td.{column} a").first.click()
    dialog = frame.locator(".modal.in")
    dialog.wait_for()
    assert dialog.locator(".modal-title").inner_text() == "Success", dialog.inner_text()
    dialog.locator("button.close").first.click()
    dialog.wait_for(state="hidden")


def give_points(page, field: str, points: str) -> None:
    """Type points into a field of the formgrader, again and again until it sends them to the server.

    The page shows the field before its scripts listen to it.
    """
    from playwright.sync_api import TimeoutError  # Only the browser tests need Playwright.

    for _ in range(20):
        page.locator(field).fill("")
        page.locator(field).fill(points)
        try:
            with page.expect_response(
                lambda response: "/api/grade/" in response.url and response.request.method == "PUT", timeout=9_000
            ):
                page.locator(field).press("Tab")
            return
        except TimeoutError:
            continue
    raise AssertionError("the formgrader does not send the points to the server")


def test_an_assignment_is_released_submitted_graded_and_reviewed_with_buttons_only(browser, servers, artefacts):
    instructor, learner = servers
    course = instructor.root
    page = open_from_menu(browser, instructor, "Formgrader")
    formgrader = page.frame_locator("iframe")
    press(formgrader, "assign")
    press(formgrader, "release")

    assignments = open_from_menu(browser, learner, "Assignment List")
    assignments.get_by_role("button", name="Fetch", exact=True).click()
    assignments.get_by_role("button", name="Submit", exact=True).wait_for()
    shutil.copy(
        REPOSITORY / "solutions" / DEFAULT_PART.name / "get_optimizer.py",
        learner.root / DEFAULT_PART.name / DEFAULT_PART.name,
    )
    notebook = learner.root / DEFAULT_PART.name / f"{NOTEBOOKS[0]}.ipynb"
    notebook.write_text(notebook.read_text().replace("*Your answer here.*", "Short sentences, ellipses, initials."))
    assignments.get_by_role("button", name="Submit", exact=True).click()
    assignments.get_by_role("button", name="Fetch Feedback").wait_for()
    assignments.screenshot(path=artefacts / "assignment_list.png")

    press(formgrader, "collect")
    formgrader.locator("td.num-submissions a").first.click()
    press(formgrader, "autograde")
    score = formgrader.locator("td.score").first
    assert score.inner_text() == "8 / 18"
    page.screenshot(path=artefacts / "formgrader_submissions.png")

    page.goto(f"http://127.0.0.1:{instructor.port}/formgrader/gradebook/{DEFAULT_PART.name}/{NOTEBOOKS[0]}")
    page.locator("td.name a").first.click()
    give_points(page, "#brainstorm_periods", "1.5")
    page.goto(f"http://127.0.0.1:{instructor.port}/formgrader/manage_submissions/{DEFAULT_PART.name}")
    page.get_by_text("9.5 / 18").wait_for()

    page.goto(f"http://127.0.0.1:{instructor.port}/formgrader/gradebook/{DEFAULT_PART.name}/{NOTEBOOKS[1]}")
    page.locator("td.name a").first.click()
    page.locator("#check-get_optimizer").wait_for()
    text = page.locator("body").inner_text()
    assert "hidden test" in text and "maximize=True" in text, "the cell shows the failed hidden test and the answer"
    page.screenshot(path=artefacts / "formgrader_check.png", full_page=True)
    assert (course / "autograded").is_dir()
