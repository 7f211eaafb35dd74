"""The page that shows the widgets."""

import json
import re

import rlhf_course
from rlhf_course.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "widgets.md").read_text()


def test_every_widget_of_the_page_can_be_imported():
    named = set(re.findall(r"`(\w+)\(", PAGE.split("## The training dashboard")[0]))
    assert named == {
        "kl_explorer",
        "advantage_picture",
        "objective_explorer",
        "dashboard",
        "gallery",
        "label_pairs",
        "preference_picture",
        "policy_picture",
        "progress",
    }
    assert all(callable(getattr(rlhf_course, name)) for name in named)


def test_every_picture_of_the_page_is_there_small_and_described():
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", PAGE)
    assert len(pictures) >= 5
    for alt, path in pictures:
        assert len(alt) > 40
        assert (REPOSITORY / "docs" / path).stat().st_size < 300_000


def test_the_dashboard_was_measured_to_cost_less_than_three_percent_of_a_phase():
    measured = json.loads((REPOSITORY / "benchmarks" / "results" / "dashboard.json").read_text())
    assert measured
    for results in measured.values():
        assert results["phases"] >= 5 and results["curves_drawn"] > 0 and results["samples_scored"] > 0
        assert results["share_of_a_phase"] < 0.03
