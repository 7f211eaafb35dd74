"""Hidden tests of `normalize_reward`.

Bessel's correction is optional, and both `std + eps` and `sqrt(var + eps)` are right.
"""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, ORDINARY, Circumstance, Floats, Inputs
from rlhf_course.grading.judge.compare import expect_calls_leave_torch_alone, expect_form, expect_values, mend
from rlhf_course.grading.judge.rollouts import drawn_values

WHY = "it has mean 0 and standard deviation 1, by the batch's mean and deviation, with a default eps of 1e-5"


def from_rollout(draw):
    """Draw the rewards of some texts."""
    _, rewards, _ = drawn_values(draw)
    return {"reward": rewards}


# Rewards come from texts, so nothing is differentiated with respect to them.
INPUTS = Inputs(
    sizes={"texts": (3, 12)},
    arguments={"reward": Floats(("texts",), scale=3.0, mean=1.5, differentiable=False)},
    rollout=from_rollout,
)
TWO_TEXTS = Circumstance("for two texts", sizes={"texts": 2})


def normalized(reward, eps=1e-5):
    """Return the four right results: two definitions of the deviation, and eps outside or below the root."""
    centred = reward - reward.sum() / len(reward)
    squares = (centred * centred).sum()
    variances = [squares / count for count in (len(reward) - 1, len(reward))]
    deviations = [deviation for variance in variances for deviation in (variance**0.5 + eps, (variance + eps) ** 0.5)]
    return [centred / deviation for deviation in deviations]


def mostly_equal(draw, shape):
    """Draw counts of which most are 0, as rewards are at the beginning of training."""
    (texts,) = shape
    some = draw.integer(2, texts // 4)
    counts = [draw.integer(1, 3) for _ in range(some)]
    return torch.tensor(draw.shuffled([0] * (texts - some) + counts), dtype=torch.float32)


def with_outlier(draw, shape):
    """Draw rewards that differ little, but for one."""
    (texts,) = shape
    reward = 0.125 * draw.normal(texts)
    reward[draw.integer(0, texts - 1)] = draw.integer(20, 60)
    return reward


def nearly_equal(draw, shape):
    """Draw probabilities that are all nearly the same, as rewards are at the end of training."""
    return draw.number(0.9, 0.98) + draw.number(0.002, 0.004) * draw.normal(*shape)


def hardly_different(draw, shape):
    """Draw probabilities that differ by less than a thousandth."""
    return draw.number(0.01, 0.03) + draw.number(0.0003, 0.0006) * draw.normal(*shape)


REALISTIC = (
    Circumstance("for many texts of which most earned nothing", sizes={"texts": 64}, entries=mostly_equal),
    Circumstance("for many texts of which one earned much more than the others", {"texts": 250}, entries=with_outlier),
    Circumstance("for rewards that differ by a few thousandths", sizes={"texts": 48}, entries=nearly_equal),
    Circumstance("for rewards that differ by less than a thousandth", sizes={"texts": 32}, entries=hardly_different),
)


def expect_normalized(normalize_reward, call, **tolerance):
    """Require the right result in one call without `eps`."""
    got = normalize_reward(*call.passed())
    expect_values(got, call.right(normalized), call.subject("The normalised reward"), WHY, call, **tolerance)


@pytest.mark.points(1)
def test_the_mean_becomes_0_and_the_deviation_1(normalize_reward, draw):
    for call in INPUTS.calls(draw, [ORDINARY, ORDINARY, TWO_TEXTS]):
        expect_normalized(normalize_reward, call)


@pytest.mark.points(0.75)
def test_equal_rewards_become_zeros(normalize_reward, draw):
    for level in draw.shuffled([0.0, 1.0, draw.integer(2, 40), -draw.integer(2, 40), draw.number(0.1, 0.9)]):
        texts = draw.integer(3, 12)
        got = normalize_reward(torch.full((texts,), float(level)))
        subject = "The normalised reward of texts that all earned the same"
        # A mean may be wrong in its last digit, which eps makes a hundred thousand times larger.
        rounding = 0.2 * abs(level) + 1e-6
        expect_values(
            got, torch.zeros(texts), subject, "it is 0 for each, as none is better than the mean", atol=rounding
        )
        reward = torch.full((texts,), float(level))
        reward[draw.integer(0, texts - 1)] += 1
        mended = mend(normalize_reward(reward), reward.shape)
        assert mended is not None and bool(mended.any()), (
            "The normalised reward of texts of which one earned more should not be zero for all of them"
        )


@pytest.mark.points(0.5)
def test_eps_is_the_one_that_was_passed(normalize_reward, draw):
    for call in INPUTS.calls(draw, [ORDINARY], each=3):
        (reward,), eps = call.passed(), draw.number(0.3, 5)
        got = normalize_reward(reward, eps)
        why = "`eps` is added to the deviation, or to the variance below the root"
        expect_values(
            got, normalized(call.exact["reward"], eps), "The normalised reward with an eps of the caller's", why
        )


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_is_normalised_alike(normalize_reward, draw):
    circumstances = [found for found in INPUTS.other_circumstances() if not found.repeated]
    for call in INPUTS.calls(draw, [*circumstances, *REALISTIC]):
        expect_normalized(normalize_reward, call, rtol=3e-4, atol=1e-3)
    why = "subtract the mean before squaring, or the small differences are rounded off"
    for _ in range(3):
        reward = draw.integer(40_000, 60_000) + draw.integers(-9, 9, draw.integer(5, 9)).float()
        reward[0] += 4  # They are never all equal.
        got = normalize_reward(reward.clone())
        wanted = normalized(reward.double())
        expect_values(got, wanted, "The normalised reward of large rewards", why, rtol=1e-2, atol=2e-2)


@pytest.mark.points(0.75)
def test_the_raw_reward_is_left_as_it_was_and_the_result_has_its_form(normalize_reward, draw):
    expect_normalized(normalize_reward, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [*INPUTS.all_circumstances(), TWO_TEXTS, *REALISTIC]):
        passed = call.passed()
        got = normalize_reward(*passed)
        expect_form(got, call.exact["reward"], call.subject("The normalised reward"), call.circumstance.dtype)
        assert not call.changed(passed), (
            "The reward that was passed in was changed: it is still needed for the log; make a new tensor"
        )
    expect_normalized(normalize_reward, INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, level=2.0**18)))
    expect_calls_leave_torch_alone(normalize_reward, [INPUTS.call(draw).passed()])
