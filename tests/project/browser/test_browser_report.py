"""The class report of 200 learners fits the screen, a phone and paper, in the light and the dark theme."""

import sys
from pathlib import Path

import pytest

from rlhf_course.grading.comments.comments import Comment
from rlhf_course.grading.comments.groups import group_answers
from rlhf_course.grading.reports.assignments import write_course_pages
from rlhf_course.grading.reports.pages import write_pages

sys.path.append(str(Path(__file__).resolve().parents[1] / "grading"))
from class_of_200 import class_of_200

PAGES = ("index", "exercises/normalize_reward", "learners/learner002", "course/index")
# The width of A4 paper between margins of 1 cm, in the pixels of CSS.
PAPER_WIDTH = 718


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    known = class_of_200()
    group = group_answers(known.report.submissions)["normalize_reward"][0]
    comments = [Comment("What is left of the mean?", exercise=group.exercise, group=group.key), Comment("Well done.")]
    folder = tmp_path_factory.mktemp("report")
    write_pages(folder, known.report, comments)
    few = known.report.model_copy(update={"submissions": known.report.submissions[:9]})
    names = [f"assignment {number}" for number in range(1, 7)]
    write_course_pages(folder / "course", dict.fromkeys(names, few), {name: [] for name in names})
    return folder


def overflow(page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_the_screen_and_a_phone_without_errors(browser, report, artefacts, name, scheme):
    page, errors = browser.new_page(color_scheme=scheme), []
    page.on("console", lambda message: errors.append(message.text))
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"file://{report}/{name}.html")
        assert overflow(page) <= 0
    page.set_viewport_size({"width": 1200, "height": 900})
    page.screenshot(path=artefacts / f"report-{name.replace('/', '-')}-{scheme}.png", full_page=True)
    assert not errors
    page.close()


HOSTILE = ["x" * 300, "<script>alert(1)</script>", "\u05d0\u202eabc", "=1+1", "ada, who is late"]


@pytest.mark.parametrize("name", ["index", "exercises/normalize_reward", "learners/ada-who-is-late", "course/index"])
def test_names_of_any_length_and_script_leave_a_page_that_can_be_read_on_a_phone(browser, tmp_path, name):
    known = class_of_200().report.submissions
    late = {"late_penalty": 1.0, "late": "One day late."}
    results = [known[index].model_copy(update={"name": text, **late}) for index, text in enumerate(HOSTILE)]
    hostile = class_of_200().report.model_copy(update={"submissions": results, "title": "y" * 200})
    write_pages(tmp_path, hostile)
    write_course_pages(tmp_path / "course", {"z" * 200: hostile, "b": hostile}, {"z" * 200: [], "b": []})
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.on("dialog", lambda dialog: pytest.fail("a name ran a script"))
    page.goto(f"file://{tmp_path}/{name}.html")
    assert overflow(page) <= 0
    narrow = """[...document.querySelectorAll("td, th")].filter(cell => cell.textContent.trim().length > 3
        && !cell.matches(".turned") && cell.getBoundingClientRect().width < 30).map(cell => cell.textContent)"""
    assert page.evaluate(narrow) == [], "no column is squeezed to single letters"
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_printed_to_pdf_is_cut_nowhere(browser, report, artefacts, name):
    page = browser.new_page(viewport={"width": PAPER_WIDTH, "height": 900})
    page.goto(f"file://{report}/{name}.html")
    page.emulate_media(media="print")
    assert overflow(page) <= 0
    right = (
        "Math.max(...[...document.querySelectorAll('table, pre, svg, p')].map(e => e.getBoundingClientRect().right))"
    )
    assert page.evaluate(right) <= PAPER_WIDTH
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "1cm")
    path = artefacts / f"report-{name.replace('/', '-')}.pdf"
    assert page.pdf(path=path, format="A4", margin=margin).startswith(b"%PDF")
    page.screenshot(path=path.with_suffix(".png"), full_page=True)
    page.close()


def test_the_links_lead_from_the_class_to_an_exercise_and_to_a_learner(browser, report):
    page = browser.new_page()
    page.goto(f"file://{report}/index.html")
    page.get_by_role("link", name="normalize_reward").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == "normalize_reward"
    page.get_by_role("link", name="learner002").click()
    assert "What is left of the mean?" in page.content() and "Well done." in page.content()
    page.close()
