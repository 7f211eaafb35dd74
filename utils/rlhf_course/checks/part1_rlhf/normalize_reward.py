"""Self-check of `normalize_reward`."""

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations
from rlhf_course.checks.core import Answer, Case, Check, observe_call

HINTS = (
    "Two steps: shift the rewards so that their mean is 0, then scale them so that their standard deviation is 1.",
    "The mean and the standard deviation are single numbers over the whole batch; the result has the shape of the "
    "reward.",
    "Subtract the mean from the reward, and divide the difference by the sum of the standard deviation and `eps`. Mind "
    "the brackets, and make a new tensor: in-place operations would change the reward that is logged.",
)


def _case(*rewards: float) -> Case:
    return Case(f"reward = {list(rewards)}", {"reward": torch.tensor(rewards)})


CASES = {
    "example": Case(
        "the rewards of the notebook's example: [1, 0, 3, 1, 0]", {"reward": torch.tensor([1.0, 0, 3, 1, 0])}
    ),
    "counts": _case(3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0),
    "equal rewards": _case(2.0, 2.0, 2.0, 2.0, 2.0),
    "below zero": _case(-31.0, -34.0, -32.5, -30.0, -37.0, -31.0),
    "two texts": _case(0.0, 8.0),
}
CASES |= {
    "slices": sliced(CASES["counts"]),
    "float64": in_float64(CASES["counts"]),
    "other values": other_values(CASES["counts"]),
    "large eps": Case("reward = [3.0, 1.0, 4.0], eps = 0.5", {"reward": torch.tensor([3.0, 1.0, 4.0]), "eps": 0.5}),
}
CHECK = Check("normalize_reward", CASES, observe_call, variations=variations(CASES["large eps"], eps=2.0))


def test_the_example_of_the_notebook_gives_its_numbers(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "example")


def test_rewards_get_mean_0_and_deviation_1(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "counts")


def test_equal_rewards_become_zeros(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "equal rewards")


def test_rewards_below_zero_are_normalised_alike(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "below zero")


def test_two_texts_are_enough(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "two texts")


def test_slices_of_larger_tensors_give_the_same(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "slices")


def test_float64_gives_float64(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "other values")


def test_eps_is_the_one_that_was_passed(normalize_reward: Answer) -> None:
    CHECK.require(normalize_reward, "large eps")
