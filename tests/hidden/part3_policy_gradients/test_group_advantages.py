"""Hidden tests of `group_advantages`. The deviation may be that of a sample or of a population."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, DOUBLE, ORDINARY, Circumstance
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_values,
)
from rlhf_course.grading.judge.reward_groups import (
    EXACT,
    INPUTS,
    LARGE_GROUPS,
    MANY_PROMPTS,
    SQUARE,
    TWO_COMPLETIONS,
    expect_value_errors,
    grouped_call,
    grouped_calls,
    of_penalties,
    of_verifier,
    with_large_mean,
    with_outlier,
)

WHY = "it is (reward - mean) / (standard deviation + eps), with mean and deviation of the same prompt's rewards"


def advantages(rewards, group_size, eps=1e-4):
    """Return the two right results, for both definitions of the deviation."""
    results = []
    for divisor in (group_size - 1, group_size):
        found = []
        for start in range(0, len(rewards), group_size):
            group = rewards[start : start + group_size].tolist()
            mean = sum(group) / group_size
            deviation = (sum((reward - mean) ** 2 for reward in group) / divisor) ** 0.5
            found += [(reward - mean) / (deviation + eps) for reward in group]
        results.append(torch.tensor(found, dtype=torch.float64))
    return results


def centred(rewards, group_size):
    """Return the rewards minus the means of their groups."""
    means = [sum(group) / group_size for group in rewards.reshape(-1, group_size).tolist()]
    return rewards - torch.tensor([mean for mean in means for _ in range(group_size)], dtype=torch.float64)


def expect_advantages(group_advantages, call, **tolerance):
    """Require the right advantages in one call."""
    got = group_advantages(*call.passed())
    expect_values(got, call.right(advantages), call.subject("The advantage"), WHY, call, **tolerance)


@pytest.mark.points(2)
def test_each_reward_is_compared_with_those_of_its_own_group(group_advantages, draw):
    for call in grouped_calls(draw, [*INPUTS.size_circumstances(), TWO_COMPLETIONS, SQUARE], each=2):
        expect_advantages(group_advantages, call, **EXACT)
    for number, circumstance in enumerate((MANY_PROMPTS, LARGE_GROUPS), 101):
        expect_advantages(group_advantages, grouped_call(draw.numbered(number), circumstance), **EXACT)


def with_equal_groups(draw, call):
    """Return the call with a table of simple numbers, in which all rewards of some prompts are equal."""
    table = draw.integers(0, 3, *call.exact["rewards"].shape).float()
    table[:, 0], table[:, 1] = 4.0, 5.0
    rows = draw.sample(range(len(table)), draw.integer(1, len(table) - 1))
    for row in rows:
        table[row] = draw.choice((0.0, 1.0, -2.0, 0.5, 7.0))
    return call.with_arguments("for groups of equal rewards beside others", rewards=table)


@pytest.mark.points(1)
def test_a_group_of_equal_rewards_gets_zeros(group_advantages, draw):
    for number in range(6):
        own = draw.numbered(number)
        circumstance = TWO_COMPLETIONS if number == 0 else ORDINARY
        expect_advantages(group_advantages, grouped_call(own, circumstance, with_equal_groups))


def with_small_differences(draw, call):
    """Return the call with rewards that differ by about a thousandth."""
    near = 0.5 + (call.exact["rewards"].float() - 0.5) / 1024
    return call.with_arguments("for rewards that differ by little", rewards=near)


def with_tiny_differences(draw, call):
    """Return the call with rewards that differ by less than the default eps."""
    near = (call.exact["rewards"].float() - 0.5) / 2**16
    return call.with_arguments("for rewards that differ by less than eps", rewards=near)


@pytest.mark.points(1)
def test_eps_is_added_to_the_deviation(group_advantages, draw):
    for number, call in enumerate(grouped_calls(draw, [Circumstance(sizes={"group": 5}), ORDINARY], each=2), 1):
        eps = draw.numbered(-number).number(0.05, 3)
        got = group_advantages(*call.passed(), eps)
        why = "`eps` is added to the standard deviation, and not below the root"
        right = advantages(**call.exact, eps=eps)
        expect_values(got, right, call.subject("The advantage with an eps of the caller's"), why, call)
    for number, change in enumerate((with_small_differences, with_small_differences, with_tiny_differences), 101):
        own = draw.numbered(number)
        near = grouped_call(own, Circumstance(sizes={"group": own.integer(6, 12)}), change)
        expect_advantages(group_advantages, near, rtol=2e-3, atol=2e-3)


@pytest.mark.points(1)
def test_without_scaling_only_the_mean_is_subtracted(group_advantages, draw):
    why = "with scale_by_std=False it is the reward minus the mean of its group"
    circumstances = [*INPUTS.size_circumstances(), TWO_COMPLETIONS, SQUARE, LARGE_GROUPS, DOUBLE]
    for number, call in enumerate(grouped_calls(draw, circumstances), 1):
        eps = draw.numbered(-number).number(1e-4, 2)
        rewards, group_size = call.passed()
        got = group_advantages(rewards, group_size, eps, False)
        subject = call.subject("The advantage without scaling")
        expect_values(got, call.right(centred), subject, why, call, **EXACT)
    call = grouped_call(draw.numbered(0), ORDINARY)
    got = group_advantages(*call.passed(), scale_by_std=False)
    expect_values(got, call.right(centred), "The advantage without scaling", why, call, **EXACT)


@pytest.mark.points(1)
def test_a_batch_that_is_not_made_of_groups_is_a_value_error(group_advantages, draw):
    for number in range(3):
        call = grouped_call(draw.numbered(number), ORDINARY)
        expect_advantages(group_advantages, call)
        expect_value_errors(group_advantages, draw, call)
        expect_value_errors(group_advantages, draw, call, 1e-4, False, phrase=", without scaling,")


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_advantages(group_advantages, draw):
    for call in grouped_calls(draw, INPUTS.other_circumstances()):
        expect_advantages(group_advantages, call)
    eight = Circumstance(sizes={"group": 8})
    for number, change in enumerate((with_large_mean, of_verifier, of_verifier, of_penalties), 101):
        own = draw.numbered(number)
        expect_advantages(group_advantages, grouped_call(own, eight, change), rtol=5e-3, atol=5e-3)
    own = draw.numbered(-1)
    expect_advantages(group_advantages, grouped_call(own, LARGE_GROUPS, with_outlier), rtol=1e-3)
    expect_results_stay(
        group_advantages, grouped_calls(draw, [ORDINARY]), advantages, "The advantage", feeds_a_loss=True
    )


@pytest.mark.points(1)
def test_the_advantages_have_the_form_of_the_rewards_which_stay_as_they_were(group_advantages, draw):
    expect_advantages(group_advantages, grouped_call(draw.numbered(0), ORDINARY))
    for call in grouped_calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = group_advantages(*passed)
        expect_form(got, call.exact["rewards"], call.subject("The advantage"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    for number in range(3):
        beyond = grouped_call(draw.numbered(-1 - number), replace(BEYOND_FLOAT32, level=2.0**18))
        expect_advantages(group_advantages, beyond)
    double = grouped_call(draw.numbered(-9), replace(DOUBLE, sizes={"prompts": 5, "group": 6}))
    expect_advantages(group_advantages, double, **DOUBLE_PRECISION)
