"""The pages for instructors: their figures are measured ones, and their links lead somewhere."""

import json
import re
import runpy

import pytest

from rlhf_course.paths import REPOSITORY

PAGES = [REPOSITORY / "docs" / name for name in ("instructors_guide.md", "at_scale.md")]


def test_the_tables_of_the_page_on_large_classes_are_made_from_the_figures_that_were_measured():
    benchmark = runpy.run_path(str(REPOSITORY / "benchmarks/autograding.py"))
    figures = json.loads((REPOSITORY / "benchmarks/results/autograding.json").read_text())
    page = PAGES[1].read_text()
    for name, table in benchmark["tables"](figures).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = page.read_text()
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, heading = link.partition("#")
        assert not path or (page.parent / path).exists(), link
        assert not heading or heading in headings, link
