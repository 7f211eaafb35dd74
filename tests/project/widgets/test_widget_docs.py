"""The page that shows the widgets."""

import re

import rlhf_course
from rlhf_course.code import REPOSITORY

PAGE = (REPOSITORY / "docs" / "widgets.md").read_text()


def test_every_widget_of_the_page_can_be_imported():
    named = set(re.findall(r"`(\w+)\(", PAGE.split("## The training dashboard")[0]))
    assert named == {"kl_explorer", "advantage_picture", "objective_explorer", "dashboard", "gallery", "progress"}
    assert all(callable(getattr(rlhf_course, name)) for name in named)


def test_every_picture_of_the_page_is_there_small_and_described():
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", PAGE)
    assert len(pictures) >= 5
    for alt, path in pictures:
        assert len(alt) > 40
        assert (REPOSITORY / "docs" / path).stat().st_size < 300_000
