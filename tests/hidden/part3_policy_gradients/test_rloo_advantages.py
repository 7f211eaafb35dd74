"""Hidden tests of `rloo_advantages`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    EQUAL_SIZES,
    ORDINARY,
    Circumstance,
    Floats,
    Inputs,
    Size,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
)

WHY = "it is the reward minus the mean reward of the other completions of the same prompt"
# The rewards are drawn as a table with a row for each prompt, and passed row by row.
INPUTS = Inputs(
    sizes={"prompts": (2, 6), "group": (3, 8)},
    arguments={"rewards": Floats(("prompts", "group"), scale=1.5, mean=0.5), "group_size": Size("group")},
    words={"prompts": "one prompt"},
)
TWO_COMPLETIONS = Circumstance("for groups of two", sizes={"group": 2})
MANY = Circumstance("for many prompts", sizes={"prompts": 67})
LARGE = Circumstance("for large groups", sizes={"group": 64})
SQUARE = replace(EQUAL_SIZES, phrase="for as many prompts as completions")
# An advantage that is rounded to four decimals is refused.
EXACT = {"rtol": 1e-5, "atol": 5e-6}


def row_by_row(call):
    """Return the call with its table of rewards in one row."""
    rewards = call.exact["rewards"].flatten().to(call.circumstance.dtype)
    return call.with_arguments(rewards=rewards)


def drawn(draw, circumstances, **options):
    """Draw calls."""
    return [row_by_row(call) for call in INPUTS.calls(draw, circumstances, **options)]


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
    for call in drawn(draw, [*INPUTS.size_circumstances(), TWO_COMPLETIONS, SQUARE], each=2):
        expect_advantages(rloo_advantages, call, **EXACT)
    for number, circumstance in enumerate((MANY, LARGE), 101):
        expect_advantages(rloo_advantages, row_by_row(INPUTS.call(draw.numbered(number), circumstance)), **EXACT)


@pytest.mark.points(0.5)
def test_a_batch_that_is_not_made_of_groups_is_a_value_error(rloo_advantages, draw):
    for number in range(3):
        call = row_by_row(INPUTS.call(draw.numbered(number)))
        expect_advantages(rloo_advantages, call)
        rewards, group_size = call.passed()
        for size, description in (
            (1, "A group of one"),
            (0, "A group of none"),
            (-group_size, "A negative group size"),
        ):
            expect_value_error(rloo_advantages, [rewards.clone(), size], description)
        shorter = rewards[: len(rewards) - draw.integer(1, group_size - 1)].clone()
        expect_value_error(rloo_advantages, [shorter, group_size], "A batch that groups do not divide")
        smaller = rewards[: draw.integer(2, group_size - 1)].clone()
        expect_value_error(rloo_advantages, [smaller, group_size], "A batch smaller than a group")


def with_large_mean(draw, call):
    """Return the call with rewards far from 0 that differ by little."""
    level = float(draw.integer(2_000, 4_000))
    moved = level + 0.25 * call.exact["rewards"].float()
    return call.with_arguments("for rewards that differ little and are far from 0", rewards=moved)


def with_outlier(draw, call):
    """Return the call with one reward in each group that is far above the others."""
    rewards = call.exact["rewards"].float()
    for row in rewards:
        row[draw.integer(0, len(row) - 1)] = float(draw.integer(400, 900))
    return call.with_arguments("for groups of which one is far above the others", rewards=rewards)


def of_penalties(draw, call):
    """Return the call with rewards that are all below 0."""
    rewards = -0.25 - call.exact["rewards"].float().abs()
    return call.with_arguments("for rewards that are all negative", rewards=rewards)


def of_verifier(draw, call):
    """Return the call with rewards of a verifier, which are 0 and 1, both in each group."""
    rewards = draw.integers(0, 1, *call.exact["rewards"].shape).float()
    rewards[:, 0], rewards[:, -1] = 1.0, 0.0
    return call.with_arguments("for rewards that are 0 or 1", rewards=rewards)


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
    for call in drawn(draw, INPUTS.other_circumstances()):
        expect_advantages(rloo_advantages, call)
    for number, change in enumerate(
        (of_verifier, of_verifier, with_equal_groups, with_outlier, with_near_rewards, of_penalties), 101
    ):
        own = draw.numbered(number)
        expect_advantages(rloo_advantages, row_by_row(change(own, INPUTS.call(own))))
    own = draw.numbered(-1)
    far = row_by_row(with_large_mean(own, INPUTS.call(own, Circumstance(sizes={"group": 8}))))
    expect_advantages(rloo_advantages, far, rtol=5e-3, atol=5e-3)
    expect_results_stay(rloo_advantages, drawn(draw, [ORDINARY]), advantages, "The advantage")


@pytest.mark.points(0.5)
def test_the_advantages_have_the_form_of_the_rewards_which_stay_as_they_were(rloo_advantages, draw):
    expect_advantages(rloo_advantages, row_by_row(INPUTS.call(draw.numbered(0))))
    for call in drawn(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = rloo_advantages(*passed)
        expect_form(got, call.exact["rewards"], call.subject("The advantage"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    for number in range(3):
        beyond = row_by_row(INPUTS.call(draw.numbered(-1 - number), replace(BEYOND_FLOAT32, level=2.0**18)))
        expect_advantages(rloo_advantages, beyond)
    double = row_by_row(INPUTS.call(draw.numbered(-9), replace(DOUBLE, sizes={"prompts": 5, "group": 6})))
    expect_advantages(rloo_advantages, double, **DOUBLE_PRECISION)
