"""Self-check of `best_of_n`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, requiring_gradients, sliced, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call, refused

HINTS = (
    "Each row holds the rewards of one prompt's completions. The question is which column holds the largest one, not "
    "how large it is.",
    "A tensor of shape [prompts, n] goes in, and whole numbers of shape [prompts] come out, from 0 to n - 1. Where "
    "several completions share the highest reward, the answer is the first of their columns.",
    "Raise a ValueError if `rewards.isnan()` is True anywhere. Return `argmax` over the last dimension; it gives the "
    "first one of equals.",
)

CASES = {
    "example": Case(
        "the notebook's example: rewards = [[0.5, 2, -1, 2, 1]]",
        {"rewards": torch.tensor([[0.5, 2.0, -1.0, 2.0, 1.0]])},
    ),
    "batch": Case("rewards of shape [3, 5]", {"rewards": normal(3, 5, seed=231)}),
    "many prompts": Case("rewards of shape [6, 2]", {"rewards": normal(6, 2, seed=232)}),
    "negative": Case(
        "rewards = [[-3, -1, -2], [-5, -7, -6]]", {"rewards": torch.tensor([[-3.0, -1.0, -2.0], [-5.0, -7.0, -6.0]])}
    ),
    "equal rewards": Case(
        "rewards = [[1, 4, 4], [2, 2, 2], [3, 0, 3]]",
        {"rewards": torch.tensor([[1.0, 4.0, 4.0], [2.0, 2.0, 2.0], [3.0, 0.0, 3.0]])},
    ),
    "one prompt": Case("rewards = [[0, 1, 2, 1]]", {"rewards": torch.tensor([[0.0, 1.0, 2.0, 1.0]])}),
    "one completion": Case("rewards = [[2], [-1]]", {"rewards": torch.tensor([[2.0], [-1.0]])}),
    "NaN": refused(
        Case(
            "rewards = [[1, 2, 0], [3, nan, 1]]",
            {"rewards": torch.tensor([[1.0, 2.0, 0.0], [3.0, float("nan"), 1.0]])},
        ),
        "NaN is neither higher nor lower than any number",
    ),
}
CASES |= {
    "slices": sliced(CASES["batch"]),
    "float64": in_float64(CASES["batch"]),
    "other values": other_values(CASES["batch"]),
    "equal rows": with_equal_rows(CASES["batch"]),
    "with gradients": requiring_gradients(CASES["batch"]),
}


def _observe(best_of_n: Answer, inputs: Mapping[str, Any]) -> Observation:
    """Observe a call; any integer dtype is right."""
    observation = observe_call(best_of_n, inputs)
    if str(observation.get("dtype")).removeprefix("torch.").startswith(("int", "uint")):
        observation["dtype"] = "int"
    return observation


CHECK = Check("best_of_n", CASES, _observe)


def test_the_example_of_the_notebook_gives_its_number(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "example")


def test_each_prompt_gets_the_index_of_its_best_completion(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "batch")


def test_more_prompts_than_completions_are_no_special_case(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "many prompts")


def test_negative_rewards_have_a_best_one_too(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "negative")


def test_of_equal_rewards_the_first_one_is_taken(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "equal rewards")


def test_one_prompt_is_a_batch_too(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "one prompt")


def test_a_single_completion_is_the_best_one(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "one completion")


def test_a_reward_that_is_nan_is_a_value_error(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "NaN")


def test_slices_of_larger_tensors_give_the_same(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "slices")


def test_float64_gives_the_same(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "other values")


def test_equal_rows_each_count(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "equal rows")


def test_rewards_that_require_gradients_give_the_same(best_of_n: Answer) -> None:
    CHECK.require(best_of_n, "with gradients")
