"""Self-check of `reward_accuracy`."""

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, normal, observe_call, refused

HINTS = (
    "A pair is ranked rightly if its chosen text has the higher reward. By how much does not matter.",
    "The comparison of two tensors of shape [pairs] is a boolean tensor of that shape. As floats its entries are 1 and "
    "0, and their mean is a share. A pair with equal rewards counts one half.",
    "Raise a ValueError if there is no pair. Convert `chosen > rejected` to the dtype of the rewards, add one half of "
    "`chosen == rejected`, converted too, and return the mean of the sum.",
)

CASES = {
    "example": Case(
        "the notebook's example: chosen_rewards = [2, 1, 0, 1, -1], rejected_rewards = [0, 1, 1, -2, 1]",
        {
            "chosen_rewards": torch.tensor([2.0, 1.0, 0.0, 1.0, -1.0]),
            "rejected_rewards": torch.tensor([0.0, 1.0, 1.0, -2.0, 1.0]),
        },
    ),
    "seven pairs": Case(
        "chosen_rewards and rejected_rewards of shape [7]",
        {"chosen_rewards": normal(7, seed=211) + 0.5, "rejected_rewards": normal(7, seed=212)},
    ),
    "ties": Case(
        "chosen_rewards = [1, 2, 3, 3], rejected_rewards = [1, 2, 3, 4]",
        {"chosen_rewards": torch.tensor([1.0, 2.0, 3.0, 3.0]), "rejected_rewards": torch.tensor([1.0, 2.0, 3.0, 4.0])},
    ),
    "one pair": Case(
        "chosen_rewards = [-1], rejected_rewards = [-2]",
        {"chosen_rewards": torch.tensor([-1.0]), "rejected_rewards": torch.tensor([-2.0])},
    ),
    "no pair": refused(
        Case(
            "chosen_rewards and rejected_rewards of shape [0]",
            {"chosen_rewards": torch.zeros(0), "rejected_rewards": torch.zeros(0)},
        ),
        "there is no pair whose mean could be taken",
    ),
}
CASES |= {
    "slices": sliced(CASES["seven pairs"]),
    "float64": in_float64(CASES["seven pairs"]),
    "other values": other_values(CASES["seven pairs"]),
    "equal rows": with_equal_rows(CASES["seven pairs"]),
}
CHECK = Check("reward_accuracy", CASES, observe_call)


def test_the_example_of_the_notebook_gives_its_number(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "example")


def test_the_accuracy_is_the_share_of_pairs_that_are_ranked_rightly(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "seven pairs")


def test_equal_rewards_count_one_half(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "ties")


def test_one_pair_is_a_batch_too(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "one pair")


def test_no_pair_is_a_value_error(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "no pair")


def test_slices_of_larger_tensors_give_the_same(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "slices")


def test_float64_gives_float64(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "other values")


def test_equal_rows_each_count(reward_accuracy: Answer) -> None:
    CHECK.require(reward_accuracy, "equal rows")
