"""Self-check of `normalize_rewards`."""

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, requiring_gradients, sliced, variations
from rlhf_course.checks.core import Answer, Case, Check, normal, observe_call, refused

HINTS = (
    "The scale comes from the rewards of the reference model's texts alone. Every batch is normalised with the same "
    "two numbers, so that rewards of different batches can be compared.",
    "Mean and standard deviation of `reference_rewards` are two numbers. Subtract the mean from `rewards`, and divide "
    "by the deviation: the shape [texts] stays. The two tensors may have different lengths.",
    "Raise a ValueError if the minimum and the maximum of the reference rewards are equal. Otherwise subtract the mean "
    "of the reference rewards from `rewards`, and divide by their `std()` plus 1e-8.",
)

_FOUR = torch.tensor([1.0, 2.0, 4.0, 5.0])
_SCALED = {"rewards": 2 * normal(5, seed=221) + 3, "reference_rewards": 0.5 * normal(7, seed=222) - 1}
CASES = {
    "example": Case(
        "the notebook's example: rewards = [3, 5, 7], reference_rewards = [1, 2, 3, 4, 5]",
        {"rewards": torch.tensor([3.0, 5.0, 7.0]), "reference_rewards": torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])},
    ),
    "other lengths": Case("rewards of shape [5], reference_rewards of shape [7]", _SCALED),
    "one reward": Case(
        "rewards = [9], reference_rewards = [1, 2, 4, 5]",
        {"rewards": torch.tensor([9.0]), "reference_rewards": _FOUR},
    ),
    "itself": Case(
        "rewards and reference_rewards = [1, 2, 4, 5]", {"rewards": _FOUR.clone(), "reference_rewards": _FOUR}
    ),
    "equal rewards": Case(
        "rewards = [2, 2, 2], reference_rewards = [1, 2, 4, 5]",
        {"rewards": torch.tensor([2.0, 2.0, 2.0]), "reference_rewards": _FOUR},
    ),
    "equal reference": refused(
        Case(
            "rewards = [1, 2, 4, 5], reference_rewards = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]",
            {"rewards": _FOUR, "reference_rewards": torch.full((6,), 0.1)},
        ),
        "all reference rewards are equal, so there is no scale",
    ),
    "one reference": refused(
        Case(
            "rewards = [1, 2, 4, 5], reference_rewards = [3]",
            {"rewards": _FOUR, "reference_rewards": torch.tensor([3.0])},
        ),
        "a single reference reward has no deviation, so there is no scale",
    ),
}
CASES |= {
    "slices": sliced(CASES["other lengths"]),
    "float64": in_float64(CASES["other lengths"]),
    "other values": other_values(CASES["other lengths"]),
    "with gradients": requiring_gradients(CASES["other lengths"]),
}
CHECK = Check(
    "normalize_rewards",
    CASES,
    observe_call,
    variations=variations(CASES["equal rewards"], reference_rewards=torch.tensor([0.0, 3.0, 3.0, 9.0])),
)


def test_the_example_of_the_notebook_gives_its_numbers(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "example")


def test_mean_and_deviation_are_those_of_the_reference_texts(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "other lengths")


def test_one_reward_is_a_batch_too(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "one reward")


def test_the_reference_itself_gets_mean_0_and_deviation_1(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "itself")


def test_equal_rewards_are_put_on_the_scale_too(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "equal rewards")


def test_equal_reference_rewards_are_a_value_error(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "equal reference")


def test_a_single_reference_reward_is_a_value_error(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "one reference")


def test_slices_of_larger_tensors_give_the_same(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "slices")


def test_float64_gives_float64(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "other values")


def test_rewards_that_require_gradients_are_normalised_alike(normalize_rewards: Answer) -> None:
    CHECK.require(normalize_rewards, "with gradients")
