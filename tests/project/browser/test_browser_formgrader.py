"""An assignment handed out, handed in, graded and returned with the buttons of JupyterLab and formgrader alone."""

import shutil
from collections.abc import Iterator

import pytest
from lab import Server

from rlhf_course.course import DEFAULT_PART
from rlhf_course.nbgrader_course.new_course import new_course
from rlhf_course.paths import REPOSITORY

NOTEBOOKS = ("04_sampling_and_rewards", "07_optimizer")
_PATIENCE = 180_000


@pytest.fixture(scope="module")
def desks(tmp_path_factory) -> Iterator[tuple[Server, Server]]:
    """JupyterLab in a course of two notebooks, and JupyterLab in a learner's folder."""
    home = tmp_path_factory.mktemp("formgrader")
    course, learner = home / "course", home / "learner"
    new_course(course, exchange=home / "exchange")
    for path in (course / "source" / DEFAULT_PART.name).glob("*.ipynb"):
        if path.stem not in NOTEBOOKS:
            path.unlink()
    learner.mkdir()
    shutil.copy(course / "for_learners/nbgrader_config.py", learner)
    servers = [Server(folder, home / f"jupyter-{folder.name}") for folder in (course, learner)]
    try:
        for server in servers:
            server.wait()
        yield tuple(servers)
    finally:
        for server in servers:
            server.stop()


def open_from_menu(browser, server: Server, item: str):
    """A page of JupyterLab in which an item of its menu Nbgrader was chosen."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(_PATIENCE)
    page.goto(f"http://127.0.0.1:{server.port}/lab?token={server.token}")
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_role("menuitem", name=item, exact=True).first.click()
    return page


def press(frame, kind: str) -> None:
    """Press one of the formgrader's buttons for the assignment or the first submission, and ask that it succeeds."""
    frame.locator(f"tr td.{kind} a").first.click()
    answer = frame.locator(".modal.in")
    answer.wait_for()
    assert answer.locator(".modal-title").inner_text() == "Success", answer.inner_text()
    answer.locator("button.close").first.click()
    answer.wait_for(state="hidden")


def test_an_assignment_goes_its_way_by_buttons_alone(browser, desks, artefacts):
    teacher, learner = desks
    course = teacher.root
    page = open_from_menu(browser, teacher, "Formgrader")
    formgrader = page.frame_locator("iframe")
    press(formgrader, "assign")
    press(formgrader, "release")

    desk = open_from_menu(browser, learner, "Assignment List")
    desk.get_by_role("button", name="Fetch", exact=True).click()
    desk.get_by_role("button", name="Submit", exact=True).wait_for()
    shutil.copy(
        REPOSITORY / "solutions" / DEFAULT_PART.name / "get_optimizer.py",
        learner.root / DEFAULT_PART.name / DEFAULT_PART.name,
    )
    notebook = learner.root / DEFAULT_PART.name / f"{NOTEBOOKS[0]}.ipynb"
    notebook.write_text(notebook.read_text().replace("*Your answer here.*", "Short sentences, ellipses, initials."))
    desk.get_by_role("button", name="Submit", exact=True).click()
    desk.get_by_role("button", name="Fetch Feedback").wait_for()
    desk.screenshot(path=artefacts / "assignment_list.png")

    press(formgrader, "collect")
    formgrader.locator("td.num-submissions a").first.click()
    press(formgrader, "autograde")
    score = formgrader.locator("td.score").first
    assert score.inner_text() == "8 / 18"
    page.screenshot(path=artefacts / "formgrader_submissions.png")

    page.goto(f"http://127.0.0.1:{teacher.port}/formgrader/gradebook/{DEFAULT_PART.name}/{NOTEBOOKS[0]}")
    page.locator("td.name a").first.click()
    page.locator("#brainstorm_periods").fill("1.5")
    with page.expect_response(lambda response: "/api/grade/" in response.url and response.request.method == "PUT"):
        page.keyboard.press("Tab")
    page.goto(f"http://127.0.0.1:{teacher.port}/formgrader/manage_submissions/{DEFAULT_PART.name}")
    page.get_by_text("9.5 / 18").wait_for()

    page.goto(f"http://127.0.0.1:{teacher.port}/formgrader/gradebook/{DEFAULT_PART.name}/{NOTEBOOKS[1]}")
    page.locator("td.name a").first.click()
    page.locator("#check-get_optimizer").wait_for()
    text = page.locator("body").inner_text()
    assert "hidden test" in text and "maximize=True" in text, "what the judge found, and the text that it judged"
    page.screenshot(path=artefacts / "formgrader_check.png", full_page=True)
    assert (course / "autograded").is_dir()
