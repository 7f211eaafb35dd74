"""The links of the pages for instructors lead somewhere."""

import re
from pathlib import Path

import pytest

from rlhf_course.paths import REPOSITORY

_NAMES = ("instructors_guide.md", "at_scale.md", "where_courses_run.md", "course_toml.md")
PAGES = [REPOSITORY / "docs" / name for name in _NAMES]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.read_text().splitlines()
        if line.startswith("#")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link
