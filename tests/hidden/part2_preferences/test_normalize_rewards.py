"""Hidden tests of `normalize_rewards`. The deviation may be that of a sample or of a population."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, ORDINARY, Circumstance, Floats, Inputs
from rlhf_course.grading.judge.compare import (
    expect_calls_leave_torch_alone,
    expect_form,
    expect_unchanged,
    expect_value_error,
    expect_values,
)

WHY = "it is (reward - mean) / (standard deviation + 1e-8), with mean and deviation of the reference rewards"
INPUTS = Inputs(
    sizes={"texts": (2, 9), "reference_texts": (3, 12)},
    arguments={
        "rewards": Floats(("texts",), scale=2.0, mean=1.0),
        "reference_rewards": Floats(("reference_texts",), scale=0.8, mean=-0.5),
    },
    words={"texts": "one text"},
)
MANY = Circumstance("for many reference texts", sizes={"reference_texts": 130})
TWO = Circumstance("for two reference texts", sizes={"reference_texts": 2})


def normalized(rewards, reference_rewards):
    """Return the two right results, for both definitions of the deviation."""
    count = len(reference_rewards)
    mean = sum(reference_rewards.tolist()) / count
    squares = sum((reward - mean) ** 2 for reward in reference_rewards.tolist())
    return [(rewards - mean) / ((squares / divisor) ** 0.5 + 1e-8) for divisor in (count - 1, count)]


def expect_normalized(normalize_rewards, call, **tolerance):
    """Require the right result in one call."""
    got = normalize_rewards(*call.passed())
    subject = call.subject("The normalised reward")
    expect_values(got, call.right(normalized), subject, WHY, call, **tolerance)


@pytest.mark.points(2)
def test_rewards_are_put_on_the_scale_of_the_reference_texts(normalize_rewards, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), MANY, TWO], each=2):
        expect_normalized(normalize_rewards, call)


@pytest.mark.points(1.5)
def test_a_reference_without_different_rewards_is_a_value_error(normalize_rewards, draw):
    call = INPUTS.call(draw)
    expect_normalized(normalize_rewards, call)
    rewards = call.exact["rewards"].float()
    for level in draw.shuffled([0.0, 0.1, draw.number(0.2, 0.9), -draw.number(1.1, 40)]):
        count = draw.integer(3, 12)
        equal = torch.full((count,), level)
        expect_value_error(normalize_rewards, [rewards.clone(), equal], "A reference of equal rewards")
        expect_value_error(normalize_rewards, [rewards.clone(), equal[:1]], "A reference of a single text")


def with_large_mean(draw, call):
    """Return the call with rewards and reference rewards far from 0, which differ by little."""
    level = float(draw.integer(2_000, 4_000))
    moved = {name: level + 0.25 * value.float() for name, value in call.exact.items()}
    return call.with_arguments("for rewards that differ little and are far from 0", **moved)


def with_small_deviation(draw, call):
    """Return the call with reference rewards that differ by ten-thousandths, so that eps below the root shows."""
    close = 0.5 + call.exact["reference_rewards"].float() / 8192
    near = 0.5 + call.exact["rewards"].float() / 8192
    return call.with_arguments("for rewards that differ by ten-thousandths", rewards=near, reference_rewards=close)


def with_nearly_equal_references(draw, call):
    """Return the call with reference rewards that differ by millionths."""
    close = call.exact["reference_rewards"].float() / 2**20
    near = call.exact["rewards"].float() / 2**20
    return call.with_arguments("for rewards that differ by millionths", rewards=near, reference_rewards=close)


def with_outlier(draw, call):
    """Return the call with one reward far above all others."""
    rewards = call.exact["rewards"].float()
    rewards[draw.integer(0, len(rewards) - 1)] = float(draw.integer(20, 60))
    return call.with_arguments("for rewards of which one is far above the others", rewards=rewards)


@pytest.mark.points(1)
def test_rewards_of_any_size_and_spread_are_normalised_alike(normalize_rewards, draw):
    for number, change in enumerate(draw.shuffled([with_large_mean, with_small_deviation, with_outlier])):
        for again in range(2):
            call = change(draw, INPUTS.call(draw.numbered(1 + 2 * number + again)))
            expect_normalized(normalize_rewards, call, rtol=5e-3, atol=5e-3)
    near = with_nearly_equal_references(draw, INPUTS.call(draw.numbered(-1)))
    expect_normalized(normalize_rewards, near, rtol=5e-3, atol=5e-3)


@pytest.mark.points(1)
def test_every_circumstance_is_normalised_alike(normalize_rewards, draw):
    found = [one for one in INPUTS.other_circumstances() if not one.repeated]
    for call in INPUTS.calls(draw, found):
        expect_normalized(normalize_rewards, call, rtol=3e-4)
    call = INPUTS.call(draw.numbered(0))
    equal = torch.full_like(call.exact["rewards"].float(), draw.number(0.3, 3))
    expect_normalized(normalize_rewards, call.with_arguments("for equal rewards", rewards=equal))


@pytest.mark.points(0.5)
def test_the_result_has_the_form_of_the_rewards_and_the_inputs_stay_as_they_were(normalize_rewards, draw):
    expect_normalized(normalize_rewards, INPUTS.call(draw.numbered(0)))
    found = [one for one in INPUTS.all_circumstances() if not one.repeated]
    for call in INPUTS.calls(draw, [*found, ORDINARY]):
        passed = call.passed()
        got = normalize_rewards(*passed)
        subject = call.subject("The normalised reward")
        expect_form(got, call.exact["rewards"], subject, call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_normalized(normalize_rewards, INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, level=2.0**18)))
    expect_calls_leave_torch_alone(normalize_rewards, [INPUTS.call(draw).passed()])
