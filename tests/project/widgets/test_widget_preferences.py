"""Part 2's pictures: bands over the seeds of the recorded runs, and a run of one's own in them."""

import re
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from rlhf_course import preference_picture, recorded_run
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.paths import REPOSITORY
from rlhf_course.widgets.numbers.bands import Point, band
from rlhf_course.widgets.numbers.preferences import recorded_seeds, smoothed
from rlhf_course.widgets.preference_picture import _PICTURES, draw_preferences

FIGURES = load_module(REPOSITORY / "benchmarks/preference_figures.py", "preference_figures")


def test_a_band_goes_from_the_lowest_to_the_highest_seed():
    seeds = [[Point(0, 0.0, 1.0), Point(1, 1.0, 2.0)], [Point(0, 0.2, 3.0), Point(1, 1.2, 5.0)]]
    found = band(seeds)
    assert found.x == pytest.approx([0.1, 1.1])
    assert (found.mean, found.low, found.high) == ([2.0, 3.5], [1.0, 2.0], [3.0, 5.0])


def test_the_points_of_one_seed_in_one_bin_count_once():
    found = band([[Point(0, 0.0, 0.0), Point(0, 0.0, 2.0), Point(0, 0.0, 4.0)], [Point(0, 0.0, 5.0)]])
    assert (found.mean, found.low, found.high) == ([3.5], [2.0], [5.0])


def test_a_band_ends_where_few_seeds_have_a_point():
    seeds = [[Point(0, 0.0, 1.0)]] * 5
    seeds[0] = seeds[1] = [Point(0, 0.0, 1.0), Point(1, 1.0, 9.0)]
    assert band(seeds).x == [0.0]
    seeds[2] = seeds[1]
    assert band(seeds).x == [0.0, 1.0]


def test_one_seed_alone_has_a_band_without_width():
    found = band([[Point(0, 0.0, 1.0), Point(1, 1.0, 2.0)]])
    assert found.mean == found.low == found.high == [1.0, 2.0]


def test_means_of_five_values_that_follow_each_other_are_taken():
    assert smoothed([0.0, 0.0, 0.0, 0.0, 5.0, 10.0]) == [1.0, 3.0]


def test_five_seeds_are_recorded_and_three_with_other_numbers_of_pairs():
    seeds = recorded_seeds()
    assert len(seeds) >= 5 and sum("accuracy_by_pairs" in seed for seed in seeds.values()) >= 3


@pytest.mark.parametrize("name", _PICTURES)
def test_every_picture_shows_without_any_run_and_is_described(name, capsys):
    picture = draw_preferences(name)
    assert len(picture.alt) > 100 and re.search(r"\d", picture.alt) and "nan" not in picture.alt
    assert "currentColor" in picture.svg and picture.png
    preference_picture(name)
    assert picture.alt in capsys.readouterr().out


def log_ratios() -> SimpleNamespace:
    rows = [{"chosen_log_ratio": -float(step), "rejected_log_ratio": -2.0 * step} for step in range(3)]
    return SimpleNamespace(rows=rows, path="dpo")


@pytest.mark.parametrize(
    ("name", "run", "shown"),
    [
        ("overoptimisation", lambda: recorded_run("overoptimise"), "your run: proxy ends at 3.50, gold ends at 0.65"),
        ("methods", lambda: recorded_run("overoptimise"), "your run: gold ends at 0.65"),
        ("dpo", log_ratios, "your run's rejected texts end at -4.0"),
    ],
)
def test_a_run_of_ones_own_is_drawn_beside_the_bands(name, run, shown):
    picture = draw_preferences(name, run())
    assert shown in picture.alt and "your run" in picture.svg
    assert "your run" not in draw_preferences(name).svg


def test_a_picture_says_which_name_or_run_it_takes():
    with pytest.raises(CourseError, match=r"takes calibration, pairs, .*, got 'dpos'"):
        draw_preferences("dpos")
    with pytest.raises(CourseError, match="in overoptimisation, dpo, methods, not in 'pairs'"):
        draw_preferences("pairs", log_ratios())
    with pytest.raises(CourseError, match="dpo records no gold, which the picture 'methods' shows"):
        draw_preferences("methods", log_ratios())
    with pytest.raises(CourseError, match="records no chosen_log_ratio"):
        draw_preferences("dpo", recorded_run("overoptimise"))


@pytest.mark.parametrize(("output", "name"), FIGURES.PICTURES.items())
def test_the_picture_that_a_notebook_shows_before_its_cell_runs_is_that_of_the_recorded_figures(output, name):
    stored = (REPOSITORY / "solutions/notebooks/outputs" / f"{output}.html").read_text()
    assert f'alt="{draw_preferences(name).alt}"' in stored.replace("&#x27;", "'")


@pytest.mark.parametrize("name", _PICTURES)
def test_no_label_is_cut_at_the_edge_of_a_picture(name):
    plot, size = _PICTURES[name]
    figure = Figure(figsize=size)
    plot(figure)
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= size[0] and box.y1 <= size[1]
