"""Hidden tests of `rloo_advantages`."""

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

WHY = "it is the reward minus the mean reward of the other completions of the same prompt"


def advantages(rewards, group_size):
    """Return the advantages, from lists of the others."""
    found = []
    for start in range(0, len(rewards), group_size):
        group = rewards[start : start + group_size].tolist()
        for index, reward in enumerate(group):
            others = group[:index] + group[index + 1 :]
            found.append(reward - sum(others) / len(others))
    return torch.tensor(found, dtype=torch.float64)


def expect_advantages(rloo_advantages, call, **tolerance):
    """Require the right advantages in one call."""
    got = rloo_advantages(*call.passed())
    right = call.right(advantages)
    expect_values(got, right, call.subject("The advantage"), WHY, call, advantages, **tolerance)


@pytest.mark.points(1.5)
def test_the_mean_of_the_others_is_subtracted_from_each_reward(rloo_advantages, draw):
    for call in grouped_calls(draw, [*INPUTS.size_circumstances(), TWO_COMPLETIONS, SQUARE], each=2):
        expect_advantages(rloo_advantages, call, **EXACT)
    for number, circumstance in enumerate((MANY_PROMPTS, LARGE_GROUPS), 101):
        expect_advantages(rloo_advantages, grouped_call(draw.numbered(number), circumstance), **EXACT)


@pytest.mark.points(0.5)
def test_a_batch_that_is_not_made_of_groups_is_a_value_error(rloo_advantages, draw):
    for number in range(3):
        call = grouped_call(draw.numbered(number), ORDINARY)
        expect_advantages(rloo_advantages, call)
        expect_value_errors(rloo_advantages, draw, call)


def with_equal_groups(draw, call):
    """Return the call with rewards that are all equal in some groups."""
    rewards = call.exact["rewards"].float()
    for row in draw.sample(range(len(rewards)), draw.integer(1, len(rewards) - 1)):
        rewards[row] = draw.choice((0.0, 1.0, -2.0, 0.5, 7.0))
    return call.with_arguments("for groups of equal rewards beside others", rewards=rewards)


def with_near_rewards(draw, call):
    """Return the call with rewards of which two in each group differ by a thousandth at most."""
    rewards = call.exact["rewards"].float()
    rewards[:, 1] = rewards[:, 0] + 1 / 2048
    return call.with_arguments("for rewards of which two hardly differ", rewards=rewards)


@pytest.mark.points(1.5)
def test_every_circumstance_that_training_meets_gives_the_same_advantages(rloo_advantages, draw):
    for call in grouped_calls(draw, INPUTS.other_circumstances()):
        expect_advantages(rloo_advantages, call)
    for number, change in enumerate(
        (of_verifier, of_verifier, with_equal_groups, with_outlier, with_near_rewards, of_penalties), 101
    ):
        own = draw.numbered(number)
        expect_advantages(rloo_advantages, grouped_call(own, ORDINARY, change))
    own = draw.numbered(-1)
    far = grouped_call(own, Circumstance(sizes={"group": 8}), with_large_mean)
    expect_advantages(rloo_advantages, far, rtol=5e-3, atol=5e-3)
    expect_results_stay(
        rloo_advantages, grouped_calls(draw, [ORDINARY]), advantages, "The advantage", feeds_a_loss=True
    )


@pytest.mark.points(0.5)
def test_the_advantages_have_the_form_of_the_rewards_which_stay_as_they_were(rloo_advantages, draw):
    expect_advantages(rloo_advantages, grouped_call(draw.numbered(0), ORDINARY))
    for call in grouped_calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = rloo_advantages(*passed)
        expect_form(got, call.exact["rewards"], call.subject("The advantage"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    for number in range(3):
        beyond = grouped_call(draw.numbered(-1 - number), replace(BEYOND_FLOAT32, level=2.0**18))
        expect_advantages(rloo_advantages, beyond)
    double = grouped_call(draw.numbered(-9), replace(DOUBLE, sizes={"prompts": 5, "group": 6}))
    expect_advantages(rloo_advantages, double, **DOUBLE_PRECISION)
