"""Self-check of `bradley_terry_loss`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call, refused, round_to_quarters

HINTS = (
    "The model gives the preference of a pair the probability sigmoid(chosen - rejected). The loss is minus the "
    "logarithm of it: near 0 where the chosen text has a much higher reward, and about as large as the difference "
    "where it has a much lower one.",
    "Both rewards have shape [pairs], and so have their difference and the loss of each pair. The mean leaves a "
    "scalar. A margin is subtracted from the difference, inside the sigmoid.",
    "Raise a ValueError if there is no pair. Take the difference, and subtract the margin if it is not None. "
    "`torch.nn.functional.logsigmoid` gives the logarithm in one stable step (`sigmoid` followed by `log` breaks where "
    "the difference is far below 0). Return minus its mean.",
)

_PAIRS: dict[str, Any] = {
    "chosen_rewards": normal(5, seed=201, scale=1.5),
    "rejected_rewards": normal(5, seed=202, scale=1.5),
}
_EXTREME = {
    "chosen_rewards": torch.tensor([1.0, -1.0, 1.0, -1.0]) * 1e4 + round_to_quarters(normal(4, seed=203)),
    "rejected_rewards": torch.tensor([-1.0, 1.0, 1.0, -1.0]) * 1e4 + round_to_quarters(normal(4, seed=204)),
}
CASES = {
    "example": Case(
        "the notebook's example: chosen_rewards = [2, 1, 0, 1, -1], rejected_rewards = [0, 1, 1, -2, 1]",
        {
            "chosen_rewards": torch.tensor([2.0, 1.0, 0.0, 1.0, -1.0]),
            "rejected_rewards": torch.tensor([0.0, 1.0, 1.0, -2.0, 1.0]),
        },
    ),
    "pairs": Case("chosen_rewards and rejected_rewards of shape [5]", _PAIRS),
    "margin": Case(
        "the same, with margin = [1.0, 0.0, 0.5, 2.0, 0.25]",
        {**_PAIRS, "margin": torch.tensor([1.0, 0.0, 0.5, 2.0, 0.25])},
    ),
    "margin None": Case("the same, with margin = None", {**_PAIRS, "margin": None}),
    "one pair": Case(
        "chosen_rewards = [0.5], rejected_rewards = [1.25]",
        {"chosen_rewards": torch.tensor([0.5]), "rejected_rewards": torch.tensor([1.25])},
    ),
    "extreme rewards": Case("rewards near 10000 and -10000, of shape [4]", _EXTREME),
    "no pair": refused(
        Case(
            "chosen_rewards and rejected_rewards of shape [0]",
            {"chosen_rewards": torch.zeros(0), "rejected_rewards": torch.zeros(0)},
        ),
        "there is no pair whose mean could be taken",
    ),
}
CASES |= {
    "slices": sliced(CASES["pairs"]),
    "float64": in_float64(CASES["pairs"]),
    "other values": other_values(CASES["pairs"]),
    "equal rows": with_equal_rows(CASES["margin"]),
}


def _observe(bradley_terry_loss: Answer, inputs: Mapping[str, Any]) -> Observation:
    observation = observe_call(bradley_terry_loss, inputs, gradient_of="chosen_rewards")
    other = observe_call(bradley_terry_loss, inputs, gradient_of="rejected_rewards")
    key = "gradient of rejected_rewards"
    return {**observation, key: other[key]} if key in other else observation


CHECK = Check("bradley_terry_loss", CASES, _observe, variations=variations(CASES["margin"], margin=torch.zeros(5)))


def test_the_example_of_the_notebook_gives_its_numbers(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "example")


def test_the_loss_is_the_mean_over_pairs_with_gradients_to_both_rewards(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "pairs")


def test_a_margin_is_subtracted_from_the_difference(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "margin")


def test_a_margin_of_none_is_no_margin(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "margin None")


def test_one_pair_is_a_batch_too(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "one pair")


def test_extreme_rewards_give_finite_numbers(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "extreme rewards")


def test_no_pair_is_a_value_error(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "no pair")


def test_slices_of_larger_tensors_give_the_same(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "slices")


def test_float64_gives_float64(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "other values")


def test_equal_rows_each_count(bradley_terry_loss: Answer) -> None:
    CHECK.require(bradley_terry_loss, "equal rows")
