"""The computations behind the widgets, without any display."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_course import ReplayMemory, RLHFArgs, calc_clipped_surrogate_objective
from rlhf_course.notebook import exercise_progress
from rlhf_course.widgets.numbers import (
    advantages,
    budget,
    clipping,
    curves,
    diversity,
    kl,
    status,
    strategies,
    tokens,
)

PEAKS = kl.TwoPeaks()


# KL explorer.


@given(mean=st.floats(-5, 5), std=st.floats(0.3, 4), left=st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_no_divergence_is_below_zero(mean, std, left):
    both = kl.divergences(kl.TwoPeaks(left=left), kl.Gaussian(mean, std))
    assert both.covering > -1e-6 and both.seeking > -1e-6


def test_the_divergences_of_one_gaussian_from_another_are_those_of_the_formula():
    target, fit = kl.TwoPeaks(distance=0.0, std=1.5), kl.Gaussian(1.0, 0.7)
    covering = math.log(0.7 / 1.5) + (1.5**2 + 1) / (2 * 0.7**2) - 0.5
    seeking = math.log(1.5 / 0.7) + (0.7**2 + 1) / (2 * 1.5**2) - 0.5
    assert kl.divergences(target, fit) == pytest.approx((covering, seeking), abs=1e-4)


def test_the_integrands_add_up_to_the_divergences():
    fit = kl.Gaussian(0.5, 1.0)
    covering, seeking = kl.integrands(PEAKS, fit)
    assert kl.divergences(PEAKS, fit) == pytest.approx(
        (np.trapezoid(covering, kl.GRID), np.trapezoid(seeking, kl.GRID))
    )


def test_the_covering_fit_lies_between_the_peaks_and_no_neighbour_is_better():
    best = kl.fit_covering(PEAKS)
    assert best.mean == pytest.approx(0) and best.std > 3
    least = kl.divergences(PEAKS, best).covering
    for neighbour in (best._replace(mean=0.2), best._replace(std=best.std + 0.2), best._replace(std=best.std - 0.2)):
        assert kl.divergences(PEAKS, neighbour).covering > least


@pytest.mark.parametrize(("start", "peak"), [(0.5, 3), (-0.5, -3), (4.0, 3)])
def test_the_seeking_fit_takes_the_peak_on_its_side_at_a_price_of_log_2(start, peak):
    best = kl.fit_seeking(PEAKS, kl.Gaussian(start, 1.0))
    assert best == pytest.approx((peak, PEAKS.std), abs=0.01)
    assert kl.divergences(PEAKS, best).seeking == pytest.approx(math.log(2), abs=0.001)


def test_the_seeking_fit_that_starts_in_the_middle_stays_wide():
    best = kl.fit_seeking(PEAKS, kl.Gaussian(0.0, 1.0))
    assert best.mean == pytest.approx(0) and best.std > 2
    assert kl.divergences(PEAKS, best).seeking > 3


# Objective explorer.


@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.5, -2.0])
def test_the_clipped_terms_gradient_is_that_of_the_given_objective(advantage):
    """Two tokens have opposite advantages, whose normalised values are known; the first is compared."""
    for ratio in (0.5, 0.79, 0.9, 1.0, 1.1, 1.21, 1.7):
        new = torch.tensor([[math.log(ratio), 0.0]], requires_grad=True)
        calc_clipped_surrogate_objective(
            new, torch.zeros(1, 2), torch.tensor([[advantage, -advantage]]), 0.2, 2
        ).backward()
        term = clipping.clipped_term(ratio, advantage, 0.2)
        normalised = math.copysign(1 / math.sqrt(2), advantage)
        # The mean over two tokens halves the gradient; the derivative of the logarithm multiplies it by the ratio.
        assert new.grad[0, 0].item() == pytest.approx(
            float(term.gradient) / abs(advantage) * abs(normalised) * ratio / 2, abs=1e-5
        )


def test_the_gradient_is_zero_only_where_the_policy_has_gone_far_in_the_wanted_direction():
    ratios = np.array([0.5, 0.79, 1.0, 1.21, 1.5])
    assert clipping.is_flat(ratios, 1.0, 0.2).tolist() == [False, False, False, True, True]
    assert clipping.is_flat(ratios, -1.0, 0.2).tolist() == [True, True, False, False, False]
    assert clipping.is_flat(ratios, 0.0, 0.2).all()
    assert clipping.flat_part(1.0, 0.2) == "above 1.20" and clipping.flat_part(-1.0, 0.2) == "below 0.80"


# Advantage picture.


def test_the_example_has_the_notebooks_advantages_and_they_add_up_to_reward_minus_first_value():
    table = advantages.columns(advantages.EXAMPLE, 2)
    assert [column.advantage for column in table[:2]] == [None, None]
    assert [column.advantage for column in table[2:]] == pytest.approx([0.3, -0.1, 0.6])
    assert [column.reward for column in table] == [0, 0, 0, 0, 1]
    assert advantages.total_advantage(table) == pytest.approx(1.0 - 0.2)


@pytest.mark.parametrize("prefix_len", [1, 2, 3, 4])
def test_whatever_the_prefix_the_advantages_add_up_to_reward_minus_its_value(prefix_len):
    table = advantages.columns(advantages.EXAMPLE, prefix_len)
    assert advantages.total_advantage(table) == pytest.approx(1.0 - table[prefix_len - 1].state_value)


@pytest.mark.parametrize("prefix_len", [0, 5, -1])
def test_a_prefix_that_leaves_no_state_or_no_token_is_refused(prefix_len):
    with pytest.raises(ValueError, match="prefix_len takes 1 to 4"):
        advantages.columns(advantages.EXAMPLE, prefix_len)


def test_a_rollouts_columns_are_what_its_memory_holds():
    args = RLHFArgs(batch_size=3, num_minibatches=1, gen_len=2)
    values, given_advantages = torch.rand(3, 5), torch.rand(3, 2)
    memory = ReplayMemory(args, torch.zeros(3, 5), torch.zeros(3, 2), given_advantages, values, torch.zeros(3, 5, 7))
    episode = advantages.episode_from_memory(memory, list("abcde"), row=1)
    table = advantages.columns(episode, 3)
    assert episode.first == 3
    assert [column.value for column in table[3:]] == pytest.approx(values[1, 2:4].tolist())
    assert [column.advantage for column in table[3:]] == pytest.approx(given_advantages[1].tolist())
    assert [column.state_value for column in table] == pytest.approx(values[1].tolist())


# Dashboard.


def row(phase, **numbers):
    return {
        "phase": phase,
        "mean_reward": 1.0,
        "kl": 0.1,
        "value_loss": 0.01,
        "entropy": 2.0,
        "clipfrac": 0.1,
        "lr": 1e-4,
        "seconds": 2.0,
        **numbers,
    }


def test_curves_hold_every_panel_of_every_phase_and_mark_what_is_missing():
    run = curves.curves([row(0), row(1, mean_reward=2.5, kl="")])
    assert run.phases == [0, 1]
    assert run.panels["mean_reward"] == [1.0, 2.5]
    assert math.isnan(run.panels["kl"][1])
    assert set(run.panels) == set(curves.PANELS)
    assert run.gold == []


def test_curves_hold_the_judges_reward_where_a_run_records_it():
    run = curves.curves([row(0, gold=-0.5), row(1, gold=""), row(2, gold=1.5)])
    assert run.gold[::2] == [-0.5, 1.5] and math.isnan(run.gold[1])


def test_the_spread_is_where_four_texts_in_five_lie():
    assert curves.reward_spread([float(number) for number in range(11)]) == (1.0, 9.0)
    assert curves.reward_spread([3.0]) == (3.0, 3.0)
    samples = [{"phase": phase, "reward": reward} for phase in (1, 0) for reward in (phase, phase)]
    assert curves.reward_spreads(samples) == [(0, 0), (1, 1)]


def test_the_time_left_is_that_of_the_latest_phases():
    rows = [row(phase, seconds=100.0 if phase < 5 else 2.0) for phase in range(10)]
    assert curves.time_left(rows, 40) == 60.0
    assert "2.0 s a phase, about 60 s left" in status.describe_pace(rows, 40)
    assert status.describe_pace(rows, 10) == ""


def test_runs_to_compare_with_are_those_with_a_finished_phase(tmp_path):
    for name, files in {
        "whole": ["config.json", "metrics.csv"],
        "begun": ["config.json"],
        "other": ["metrics.csv"],
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")
    assert [path.name for path in curves.run_folders(tmp_path)] == ["whole"]


def test_the_status_of_a_stopped_run_names_the_command_that_continues_it(tmp_path):
    assert f"rlhf-course train --resume {tmp_path}" in status.describe_status("stopped", 3, 9, tmp_path)
    spaced = tmp_path / "a b"
    assert f'rlhf-course train --resume "{spaced}"' in status.describe_status("stopped", 3, 9, spaced)
    assert "resume" not in status.describe_status("finished", 9, 9, tmp_path)
    assert "KeyError: 'lr'" in status.describe_status("failed", 3, 9, tmp_path, KeyError("lr"))


def test_the_command_that_continues_a_run_works_from_any_folder():
    folder = Path("runs/mine")
    assert f"--resume {folder.resolve()}" in status.describe_status("stopped", 3, 9, folder)


def test_the_gain_of_a_token_is_what_it_adds_to_the_reward():
    def periods(texts):
        return torch.tensor([float(text.count(".")) for text in texts])

    assert tokens.gains([" a", "..", " b."], "So. ", periods) == [0, 2, 1]
    assert tokens.relative_gains([0.0, 2.0, -1.0]) == [0.0, 1.0, -0.5]
    assert tokens.relative_gains([0.0, 0.0]) == [0.0, 0.0]


def test_the_shade_grows_with_surprise_up_to_its_maximum():
    assert [tokens.shade(nats) for nats in (-0.0, 4.0, 8.0, 80.0)] == [0.0, 0.5, 1.0, 1.0]
    text = tokens.ScoredText(
        "p", [tokens.ScoredToken("a", 0, 1.0), tokens.ScoredToken("b", 0, 3.0), tokens.ScoredToken("c")], 0, 0
    )
    assert text.most_surprising.text == "b"


def test_a_display_task_waits_until_its_time_is_within_the_share():
    now = SimpleNamespace(time=0.0)
    display_budget = budget.Budget(share=0.02, clock=lambda: now.time)

    def draw():
        now.time += 0.1

    display_budget.set_cost("curves", 0.1)
    assert not display_budget.allows("curves")
    now.time = 5.0
    assert display_budget.allows("curves")
    display_budget.run("curves", draw)
    assert not display_budget.allows("curves")
    while not display_budget.allows("curves"):
        now.time += 0.5
    display_budget.run("curves", draw)
    assert display_budget.spent / display_budget.elapsed <= 0.0205


# Gallery.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wait... what", {"ellipses": ["..."]}),
        ("no …", {"ellipses": ["…"]}),
        ("so" + "." * 64, {"rows of dots": ["." * 64]}),
        (" . . . . .", {"rows of dots": [" . . . . ."]}),
        ("by J. R. R. Tolkien", {"initials": ["J.", "R.", "R."]}),
        ("in the U.S. or some U. S. A.", {"U.S.": ["U.S.", "U. S. A."]}),
        ("version 1.0.2 of v2.1", {"versions": ["1.0.2", "v2.1"]}),
        ("about 3.5 percent", {"decimals": ["3.5"]}),
        ("1. Eggs 2. Milk", {"numbered lists": ["1.", "2."]}),
        ("see www.example.com/a or b.org now", {"addresses": ["www.example.com/a", "b.org"]}),
        ("with Mr. Smith, Dr. Who", {"abbreviations": ["Mr.", "Dr."]}),
        (
            "a very long sentence that ends here. It is good. So it is.",
            {"short sentences": ["It is good.", "So it is."]},
        ),
        ("the film was good and the film was bad", {"repetition": ["was"]}),
        ("Nothing to be found in a plain sentence of some length that ends.", {}),
    ],
)
def test_each_detector_finds_its_strategy_and_no_other(text, expected):
    uses = {detector.name: [text[start:end] for start, end in detector.find(text)] for detector in strategies.DETECTORS}
    assert {name: spans for name, spans in uses.items() if spans} == expected


def samples_of(*phases):
    return [
        {"phase": phase, "reward": 0.0, "text": f"<|endoftext|>This is{text}"}
        for phase, texts in enumerate(phases)
        for text in texts
    ]


def test_the_phase_of_a_rise_is_the_one_that_passes_half_of_it():
    samples = samples_of(*[[" plain", " plain"]] * 3, [" it...", " plain"], *[[" it... so...", " it..."]] * 3)
    rates = strategies.rates(samples, "This is")
    assert rates["ellipses"] == [0, 0, 0, 0.5, 1.5, 1.5, 1.5]
    first, *others = strategies.rises(rates)
    assert first == ("ellipses", 0.0, 1.5, 4)
    assert all(rise.phase is None for rise in others)


def test_examples_are_the_texts_of_a_phase_that_use_a_strategy_most():
    samples = samples_of([" one...", " two... and...", " none", " one..."])
    assert [text for text, _ in strategies.examples(samples, "ellipses", "This is", 0)] == [" two... and...", " one..."]
    assert strategies.examples(samples, "versions", "This is", 0) == []


def test_distinct_n_grams_fall_as_texts_become_alike():
    assert diversity.distinct(["a b c", "d e f"], 2) == 1.0
    assert diversity.distinct(["a b c", "a b c"], 2) == 0.5
    assert diversity.distinct(["a"], 3) == 0.0
    assert diversity.distinct(["so" + "." * 28, "no" + "." * 25], 3) < 0.1
    curve = diversity.diversity(samples_of([" a b c d", " e f g h"], [" a b c d", " a b c d"]), "This is")
    assert curve[3][0] == 1.0 and curve[3][1] == 0.5
    assert set(curve) == {1, 2, 3}


# Progress.


def test_the_next_step_is_the_first_exercise_that_has_not_passed():
    def row_of(name, status):
        return exercise_progress.ExerciseProgress("06_objective", name, status, 0, 3, "10")

    assert (
        exercise_progress.next_step([row_of("a", "passed"), row_of("b", "not checked")])
        == "1 of 2 passed. Next: check('b'), in 06_objective.ipynb"
    )
    assert (
        exercise_progress.next_step([row_of("a", "wrong"), row_of("b", "passed")])
        == "1 of 2 passed. Next: a, in 06_objective.ipynb"
    )
    assert exercise_progress.next_step([row_of("a", "passed")]) == "All 1 passed."
