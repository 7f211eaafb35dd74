"""Part 3's pictures, and the dashboard of runs on tasks."""

import math
import re
from types import SimpleNamespace

import pytest

from rlhf_course import policy_picture
from rlhf_course.errors import CourseError
from rlhf_course.widgets.numbers.policy_gradients import Measured, measured_of, recorded_seeds
from rlhf_course.widgets.policy_picture import _PICTURES, draw_policy

ROWS = [
    {
        "phase": phase,
        "mean_reward": 0.2 + phase / 10,
        "accuracy": 0.2 - phase / 20,
        "mixed_groups": 0.7,
        "entropy": 0.5,
        "mean_length": 5.0,
        "sampled_tokens": 1000,
        "lr": 2e-4,
        "seconds": 1.0,
        **({"held_out_accuracy": 0.31, "held_out_greedy": 0.5} if phase in (1, 3) else {}),
    }
    for phase in range(4)
]
RUN = SimpleNamespace(rows=ROWS, path="grpo")


def test_a_seed_is_recorded_whose_model_gets_better_and_whose_broken_verifier_is_followed():
    seeds = recorded_seeds()
    assert seeds
    for seed in seeds.values():
        held_out = seed["runs"]["grpo"]["held_out"]["sampled"]
        assert held_out[0] < 0.3 and held_out[-1] >= 0.65
        if "broken_verifier" in seed["runs"]:
            broken = seed["runs"]["broken_verifier"]
            assert broken["reward"][-1] > 0.9 and broken["accuracy"][-1] < 0.1


@pytest.mark.parametrize("name", _PICTURES)
def test_every_picture_shows_without_any_run_and_is_described(name, capsys):
    picture = draw_policy(name)
    assert len(picture.alt) > 100 and re.search(r"\d", picture.alt) and "nan" not in picture.alt
    assert "currentColor" in picture.svg and picture.png
    policy_picture(name)
    assert picture.alt in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("methods", "your run ends at 0.31"),
        ("grpo", "share of groups that are mixed, your run ends at 0.70"),
        ("broken", "your run: share that is right ends at 0.05"),
    ],
)
def test_a_run_of_ones_own_is_drawn_beside_the_bands(name, shown):
    picture = draw_policy(name, RUN)
    assert shown in picture.alt and "your run" in picture.svg
    assert "your run" not in draw_policy(name).svg


def test_the_held_out_accuracy_of_a_run_stands_at_the_tokens_that_it_has_sampled():
    assert measured_of(ROWS) == [Measured(2, 2000, 0.31), Measured(4, 4000, 0.31)]
    assert measured_of([{**ROWS[0], "held_out_accuracy": math.nan}, {**ROWS[1], "held_out_accuracy": ""}]) == []


def test_a_picture_says_which_name_or_run_it_takes():
    with pytest.raises(CourseError, match=r"takes methods, .*, got 'method'"):
        draw_policy("method")
    with pytest.raises(CourseError, match="in methods, broken, grpo, not in 'pass_at_k'"):
        draw_policy("pass_at_k", RUN)
    fine_tuning = SimpleNamespace(rows=[{"phase": 0, "loss": 1.0}], path="sft")
    with pytest.raises(CourseError, match="sft records no mixed_groups, which the picture 'grpo' shows"):
        draw_policy("grpo", fine_tuning)
