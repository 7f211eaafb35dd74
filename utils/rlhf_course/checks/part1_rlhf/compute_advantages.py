"""Self-check of `compute_advantages`."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import (
    in_float64,
    other_values,
    requiring_gradients,
    sliced,
    variations,
    with_equal_rows,
)
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_call

HINTS = (
    "An advantage is Q of the action minus V of the state in which it was chosen. There is a reward only at the end, "
    "so Q of every action but the last is the value of the state that the action leads to.",
    "The token at position i was chosen in the state that ends at i - 1. There are seq - prefix_len actions, so V and "
    "Q both have shape [minibatch, gen_len]: V starts one position before the first generated token, Q starts at it.",
    "V is the columns of `values` from prefix_len - 1 to the last column, which is excluded. Q is the columns from "
    "prefix_len to the last column, again excluded, followed by the rewards as one more column. Concatenate these with "
    "`torch.cat` along dimension 1, and subtract V from Q. No gradient is needed: the stub has `torch.no_grad` "
    "already.",
)


def _case(batch: int, seq: int, prefix_len: int, seed: int) -> Case:
    inputs = {
        "values": normal(batch, seq, seed=seed),
        "rewards": 3 + normal(batch, seed=seed + 1),
        "prefix_len": prefix_len,
    }
    return Case(f"values of shape [{batch}, {seq}], rewards of shape [{batch}], prefix_len = {prefix_len}", inputs)


def _observe(compute_advantages: Answer, inputs: Mapping[str, Any]) -> Observation:
    observation = observe_call(compute_advantages, inputs)
    values = inputs["values"].clone().requires_grad_(True)
    result = compute_advantages(values, inputs["rewards"].clone(), inputs["prefix_len"])
    return {**observation, "carries a gradient": bool(getattr(result, "requires_grad", False))}


CASES = {
    "example": Case(
        "the notebook's example: values = [[0.1, 0.2, 0.5, 0.4, 0.9]], rewards = [1], prefix_len = 2",
        {"values": torch.tensor([[0.1, 0.2, 0.5, 0.4, 0.9]]), "rewards": torch.tensor([1.0]), "prefix_len": 2},
    ),
    "batch": _case(3, 9, 4, seed=11),
    "prefix of one": _case(2, 5, 1, seed=21),
    "one text": _case(1, 6, 2, seed=31),
    "one generated token": _case(4, 6, 5, seed=41),
}
CASES |= {
    "slices": sliced(CASES["batch"]),
    "float64": in_float64(CASES["batch"]),
    "other values": other_values(CASES["batch"]),
    "equal rows": with_equal_rows(CASES["batch"]),
    "requires gradients": requiring_gradients(CASES["batch"]),
}
CHECK = Check(
    "compute_advantages",
    CASES,
    _observe,
    variations=variations(CASES["batch"], rewards=torch.tensor([1.0, 2.0, -1.0]), values=normal(3, 9, seed=12)),
)


def test_the_example_of_the_notebook_gives_its_numbers(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "example")


def test_each_advantage_is_q_minus_v(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "batch")


def test_a_prefix_of_one_token_works(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "prefix of one")


def test_one_text_is_a_batch_too(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "one text")


def test_the_only_generated_token_is_the_last(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "one generated token")


def test_slices_of_larger_tensors_give_the_same(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "slices")


def test_float64_gives_float64(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "other values")


def test_equal_rows_each_count(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "equal rows")


def test_inputs_that_require_gradients_stay_as_they_were(compute_advantages: Answer) -> None:
    CHECK.require(compute_advantages, "requires gradients")
