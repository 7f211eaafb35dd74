"""Hidden tests of `normalize_reward`.

Bessel's correction is optional, and both `std + eps` and `sqrt(var + eps)` are right.
"""

import pytest
import torch

from rlhf_course.checks.core import normal
from rlhf_course.grading.judge.expect import expect


def normalized(reward, eps=1e-5):
    """Return the four right results: two definitions of the deviation, and eps outside or below the root."""
    reward = reward.double()
    centred = reward - reward.mean()
    deviations = [
        deviation
        for correction in (1, 0)
        for deviation in (
            reward.std(correction=correction) + eps,
            (reward.var(correction=correction) + eps).sqrt(),
        )
    ]
    return [centred / deviation for deviation in deviations]


@pytest.mark.points(1)
def test_the_mean_becomes_0_and_the_deviation_1(normalize_reward):
    for index, (texts, scale) in enumerate([(7, 3.0), (11, 0.08), (2, 40.0), (5, 1.0)]):
        reward = scale * normal(texts, seed=310 + index) + index - 1
        reason = "it has mean 0 and standard deviation 1, by the batch's mean and deviation, with a default eps of 1e-5"
        expect(normalize_reward(reward.clone()), normalized(reward), "The normalised reward", reason)


@pytest.mark.points(1)
def test_equal_rewards_become_zeros(normalize_reward):
    for level in (2.0, -31.0, 0.0):
        got = normalize_reward(torch.full((7,), level))
        expect(
            got,
            torch.zeros(7),
            "The normalised reward of texts that all earned the same",
            "it is 0 for each, as none is better than the mean",
        )
    reward = torch.tensor([2.0, 2.0, 2.0, 2.5])
    expect(normalize_reward(reward.clone(), 1e-5), normalized(reward), "The normalised reward of nearly equal texts")


@pytest.mark.points(0.5)
def test_eps_is_the_one_that_was_passed(normalize_reward):
    reward = normal(9, seed=320)
    for eps in (0.5, 3.0):
        reason = "`eps` is added to the deviation, or to the variance below the root"
        expect(
            normalize_reward(reward.clone(), eps),
            normalized(reward, eps),
            "The normalised reward with an eps of the caller's",
            reason,
        )


@pytest.mark.points(1)
def test_the_raw_reward_is_left_as_it_was(normalize_reward):
    reward = 4 * normal(7, seed=330) + 9
    passed = reward.clone()
    expect(
        normalize_reward(passed, 1e-5),
        normalized(reward),
        "The normalised reward",
        "it has mean 0 and standard deviation 1",
    )
    assert torch.equal(passed, reward), (
        "The reward that was passed in was changed: it is still needed for the log; make a new tensor"
    )


@pytest.mark.points(0.5)
def test_small_differences_between_large_rewards_are_kept(normalize_reward):
    reward = 20000 + torch.tensor([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, -2.0])
    reason = "subtract the mean before squaring, or the small differences are rounded off"
    expect(
        normalize_reward(reward.clone(), 1e-5),
        normalized(reward),
        "The normalised reward of large rewards",
        reason,
        rtol=1e-2,
        atol=1e-3,
    )
