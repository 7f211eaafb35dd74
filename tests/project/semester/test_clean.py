"""What a page shows of a learner's notebook: text, code, pictures and simple HTML, and nothing that acts."""

import base64
import copy
import re
import time
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from classroom import found, run_nbgrader
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.apps import GenerateFeedbackApp
from payloads import add_payloads, plot

from rlhf_course.course import DEFAULT_PART
from rlhf_course.nbgrader_course.clean import clean_html, clean_notebook
from rlhf_course.paths import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
_ACTIVE = ("script", "iframe", "object", "embed", "form", "style", "svg", "base", "meta", "link", "button", "math")


def active(page: str) -> list[str]:
    """The elements of a page that could do something, or load something from elsewhere."""
    return [
        str(tag)[:200]
        for tag in BeautifulSoup(page, "html.parser").find_all(True)
        if tag.name in _ACTIVE
        or any(name.startswith("on") for name in tag.attrs)
        or re.match(r"\s*(javascript|data:text|vbscript)", tag.get("href") or tag.get("src") or "", re.IGNORECASE)
        or (tag.name == "img" and not tag.get("src", "").startswith("data:image/") and ":" in tag.get("src", ""))
    ]


def shown(*cells) -> str:
    """The HTML of cells, as the formgrader's and the feedback's converter make it."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.HTMLExporter.preprocessors = ["rlhf_course.nbgrader_course.preprocessors.CleanContent"]
    page = HTMLExporter(config=config, template_name="classic").from_notebook_node(new_notebook(cells=list(cells)))[0]
    return page.partition("<body")[2].partition("</body")[0]


def output_of(**data: str):
    cell = new_code_cell("1", outputs=[new_output("display_data", data=data)])
    notebook = new_notebook(cells=[cell])
    clean_notebook(notebook)
    return notebook.cells[0].outputs[0].data


def test_no_payload_is_left_in_a_notebook_and_the_plot_stays():
    notebook = new_notebook()
    assert add_payloads(notebook) >= 40
    clean_notebook(notebook)
    assert not active(shown(*notebook.cells))
    assert notebook.cells[-1].outputs[0].data["image/png"] == plot()
    assert notebook.cells[-5].outputs[0].data["image/png"] == plot()
    assert not notebook.cells[-5].outputs[0].metadata["image/png"]
    nbformat.validate(notebook)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_courses_own_notebooks_keep_their_text_and_pictures(path: Path):
    notebook = nbformat.read(path, as_version=4)
    before = copy.deepcopy(notebook)
    clean_notebook(notebook)
    for old, new in zip(before.cells, notebook.cells, strict=True):
        if old.cell_type == "markdown" and "<" not in old.source:
            assert new.source == old.source
        pictures = [re.findall(r"<img[^>]*src=", str(cell.get("outputs"))) for cell in (old, new)]
        assert len(pictures[0]) == len(pictures[1])
    again = copy.deepcopy(notebook)
    clean_notebook(again)
    assert again == notebook


@pytest.mark.parametrize(
    "source",
    [
        "Short *sentences*, `<bos>` and $a<b$, $$x_{1}$$",
        "# Title\n\n> quoted\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "```python\nx = a < b\n\n\ny = 1\n```",
        "[paper](https://arxiv.org/abs/1707.06347) ![a](figures/a.png)",
    ],
)
def test_honest_markdown_stays_as_it_is(source):
    notebook = new_notebook(cells=[new_markdown_cell(source)])
    clean_notebook(notebook)
    assert notebook.cells[0].source == source


def test_simple_html_and_an_attached_picture_stay_visible():
    cell = new_markdown_cell(
        "<b>bold</b> ![x](attachment:p.png)\n\n```\na\n\n\nb\n```", attachments={"p.png": {"image/png": plot()}}
    )
    page = shown(cell)
    assert "<b>bold</b>" in page and plot()[:80] in page and "a\n\n\nb" in page


@pytest.mark.parametrize("place", ["text/html", "image/svg+xml"])
def test_a_picture_in_svg_is_shown_as_a_picture(place):
    svg = '<svg viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
    (picture,) = re.findall(r"base64,([^\"]*)", output_of(**{place: svg})["text/html"])
    assert b'viewBox="0 0 1 1"' in base64.b64decode(picture)


def test_what_is_left_out_is_named():
    assert output_of(**{"application/javascript": "1"}) == {"text/plain": "[left out: application/javascript]"}


def test_no_element_can_pass_for_a_button_of_the_page_or_cover_it():
    text = '<a class="full-credit" id="score" style="position:fixed;top:0;color:red">x</a><h1 class="btn">y</h1>'
    assert clean_html(text) == '<a style="color:red;">x</a><h1>y</h1>'


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="<>/!-=\"'`[]()&;: \nascriptimgonerrorjv#x1*|$"))
def test_cleaning_again_changes_nothing_and_nothing_acts(source):
    notebook = new_notebook(
        cells=[
            new_markdown_cell(source),
            new_code_cell("1", outputs=[new_output("display_data", data={"text/html": source, "text/plain": "x"})]),
        ]
    )
    clean_notebook(notebook)
    once = copy.deepcopy(notebook)
    clean_notebook(notebook)
    assert notebook == once
    assert not active(shown(*notebook.cells))


@pytest.mark.parametrize("text", ["**a", "<", "<a ", "[a](", "<!--", "<svg>", "&", "<div>", "$a", "<b><i>", "| a |\n"])
def test_a_long_text_takes_a_bounded_time(text):
    source = text * (1_000_000 // len(text))
    outputs = [new_output("display_data", data={"text/html": source[:290_000]}) for _ in range(20)]
    cells = [new_markdown_cell(source[:19_000]) for _ in range(20)]
    notebook = new_notebook(cells=[new_markdown_cell(source), new_code_cell(source, outputs=outputs), *cells])
    start = time.perf_counter()
    clean_notebook(notebook)
    assert time.perf_counter() - start < 60


def test_feedback_is_made_of_a_hostile_notebook_and_only_mathjax_may_run(course, hand_in, judge_finds, autograde):
    path = hand_in("eve") / "07_optimizer.ipynb"
    notebook = nbformat.read(path, as_version=4)
    add_payloads(notebook)
    nbformat.write(notebook, path)
    hand_in("ada")
    judge_finds(eve=found(), ada=found(0.5))
    autograde()
    (course / "comments.toml").write_text("[[comment]]\nlearner = 'eve'\ntext = '<script>hello</script>'\n")
    run_nbgrader(GenerateFeedbackApp, course, DEFAULT_PART.name)
    for learner in ("ada", "eve"):
        page = (course / "feedback" / learner / DEFAULT_PART.name / "07_optimizer.html").read_text()
        head, _, body = page.partition("<body")
        assert not active(body) and len(re.findall("<script", head)) == 2
        (policy,) = re.findall(r'<meta[^>]*content="(default-src[^"]*)"', head)
        (nonce,) = set(re.findall(r'<script nonce="([^"]+)"', head))
        assert f"'nonce-{nonce}'" in policy and "'unsafe-inline' 'nonce" not in policy and nonce not in body
    assert plot()[:80] in body and "hidden test" in body
    assert "&lt;script&gt;hello&lt;/script&gt;" in body, "the instructor's comment is plain text"


@pytest.mark.parametrize(
    "widgets",
    [
        {},
        {"application/vnd.jupyter.widget-state+json": {}},
        {"x": 1},
        {"application/vnd.jupyter.widget-state+json": {"version": 2}},
    ],
)
def test_metadata_of_widgets_cost_nobody_the_feedback(widgets):
    notebook = new_notebook(
        cells=[
            new_code_cell(
                "1",
                outputs=[
                    new_output(
                        "display_data",
                        data={"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "slider"},
                    )
                ],
            )
        ],
        metadata={"widgets": widgets},
    )
    clean_notebook(notebook)
    assert "widgets" not in notebook.metadata and "slider" in shown(*notebook.cells)
