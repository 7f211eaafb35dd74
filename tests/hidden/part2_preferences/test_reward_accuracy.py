"""Hidden tests of `reward_accuracy`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, Circumstance, Floats, Inputs
from rlhf_course.grading.judge.compare import (
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
)

WHY = (
    "it is the share of pairs whose chosen text has the higher reward, where a pair with equal rewards counts one half"
)
INPUTS = Inputs(
    sizes={"pairs": (3, 9)},
    arguments={"chosen_rewards": Floats(("pairs",), mean=0.4), "rejected_rewards": Floats(("pairs",))},
    words={"pairs": "one pair"},
)


def accuracy(chosen_rewards, rejected_rewards):
    """Return the share, from the numbers of pairs one by one."""
    pairs = zip(chosen_rewards.tolist(), rejected_rewards.tolist(), strict=True)
    points = [1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in pairs]
    return torch.tensor(sum(points) / len(points), dtype=torch.float64)


def expect_accuracy(reward_accuracy, call):
    """Require the right share in one call."""
    got = reward_accuracy(*call.passed())
    # Shares are exact but for the last digit, so that a rounded one is refused.
    expect_values(got, call.right(accuracy), call.subject("The accuracy"), WHY, call, accuracy, rtol=2e-6, atol=1e-6)


def differing(draw, number=0, sizes=None):
    """Draw a call in which no two rewards of a pair are equal or close, and the share is not 0."""
    call = INPUTS.call(draw.numbered(number), Circumstance(sizes=sizes or {}))
    chosen, rejected = call.exact["chosen_rewards"].float(), call.exact["rejected_rewards"].float()
    chosen = rejected + torch.where(chosen < rejected, -1.0, 1.0) * (0.1 + (chosen - rejected).abs())
    chosen[0] = rejected[0] + 0.5
    return call.with_arguments(chosen_rewards=chosen)


@pytest.mark.points(1)
def test_the_accuracy_is_the_share_of_pairs_that_are_ranked_rightly(reward_accuracy, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), INPUTS.many()], each=2):
        expect_accuracy(reward_accuracy, call)


@pytest.mark.points(1)
def test_a_pair_with_equal_rewards_counts_one_half(reward_accuracy, draw):
    for number, ties in enumerate(draw.shuffled([1, 1, 2])):
        call = differing(draw, number)
        chosen, rejected = (call.exact[name].float() for name in ("chosen_rewards", "rejected_rewards"))
        places = draw.sample(range(len(chosen)), ties)
        chosen[places] = rejected[places]
        some = call.with_arguments("for pairs of which some have equal rewards", chosen_rewards=chosen)
        every = call.with_arguments("for pairs that all have equal rewards", chosen_rewards=rejected)
        for tied in draw.shuffled([some, every]):
            expect_accuracy(reward_accuracy, tied)


def hardly_differing(draw, number):
    """Draw a call in which the rewards of each pair differ by 1/1024, near 0 or far from it, or by one bit."""
    call = differing(draw, number)
    levels = (0, draw.integer(500, 4_000)) if number % 2 else (0,)  # Far from 0, one bit is no small difference.
    rejected = draw.choice(levels) + call.exact["rejected_rewards"].float()
    rejected = torch.where(rejected == 0, 0.5, rejected)  # Some processors take the number next to 0 for 0.
    signs = 2 * draw.integers(0, 1, *rejected.shape) - 1
    next_numbers = torch.nextafter(rejected, signs * torch.full_like(rejected, torch.inf))
    chosen = rejected + signs / 1024 if number % 2 else next_numbers
    return call.with_arguments("for rewards that hardly differ", chosen_rewards=chosen, rejected_rewards=rejected)


@pytest.mark.points(1)
def test_every_circumstance_and_every_difference_gives_the_same_accuracy(reward_accuracy, draw):
    for call in INPUTS.calls(
        draw, [circumstance for circumstance in INPUTS.other_circumstances() if not circumstance.agreeing]
    ):
        expect_accuracy(reward_accuracy, call)
    for number in range(3, 9):
        expect_accuracy(reward_accuracy, hardly_differing(draw, number))
    calls = [differing(draw, number, {"pairs": 7}) for number in range(3)]
    expect_results_stay(reward_accuracy, calls, accuracy, "The accuracy")


def expect_two_accuracies(reward_accuracy, draw):
    """Require the right share of an odd number of pairs and that of the swapped pairs, which no constant is."""
    call = differing(draw, sizes={"pairs": draw.choice((5, 7, 9))})
    chosen, rejected = (call.exact[name].float() for name in ("chosen_rewards", "rejected_rewards"))
    swapped = call.with_arguments("for swapped pairs", chosen_rewards=rejected, rejected_rewards=chosen)
    for asked in draw.shuffled([call, swapped]):
        expect_accuracy(reward_accuracy, asked)


@pytest.mark.points(0.5)
def test_no_pair_at_all_is_a_value_error(reward_accuracy, draw):
    expect_two_accuracies(reward_accuracy, draw)
    expect_value_error(reward_accuracy, [torch.zeros(0), torch.zeros(0)], "A batch without a pair")


@pytest.mark.points(0.5)
def test_the_accuracy_is_one_number_of_the_inputs_dtype_and_the_inputs_stay_as_they_were(reward_accuracy, draw):
    expect_two_accuracies(reward_accuracy, draw)
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = reward_accuracy(*passed)
        expect_form(got, torch.tensor(0.0), call.subject("The accuracy"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_accuracy(reward_accuracy, INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, sizes={"pairs": 9})))
