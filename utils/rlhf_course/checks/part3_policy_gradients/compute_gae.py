"""Self-check of `compute_gae`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import (
    in_float64,
    other_values,
    requiring_gradients,
    sliced,
    variations,
    with_equal_rows,
)
from rlhf_course.checks.core import Answer, Case, Check, Observation, format_linear, mask_of_rows, normal, observe_call

HINTS = (
    "The advantage of a token needs that of the token after it, and the last token has none after it. So start at the "
    "last column and go to the front. Nothing comes after the end of a text: neither a value nor an advantage.",
    "All tensors have shape [batch, gen]. At each step you work on one column of all texts, of shape [batch]: the "
    "reward, the value and the next value give delta, and delta and the next advantage give the advantage.",
    "First replace what stands at padding in `values` and `rewards` by 0, in new tensors (`masked_fill` or "
    "`torch.where`; a product with the mask would keep a NaN). Keep two tensors of shape [batch] that begin as zeros: "
    "the next value and the next advantage. For each column from the last to the first, compute delta, add gamma * lam "
    "times the next advantage, store the sum in a column of the result, and update the two tensors. Texts that end "
    "early need nothing else: at padding everything is 0.",
)


def _case(seed: int, gamma: float, lam: float, *rows: str) -> Case:
    shape = len(rows), len(rows[0])
    inputs = {
        "values": normal(*shape, seed=seed),
        "rewards": 0.5 + normal(*shape, seed=seed + 1),
        "mask": mask_of_rows(*rows),
        "gamma": gamma,
        "lam": lam,
    }
    words = f"values and rewards of shape [{shape[0]}, {shape[1]}], mask = {', '.join(rows)}"
    return Case(f"{words}, gamma = {gamma}, lam = {lam}", inputs)


def _with_nan_at_padding(case: Case) -> Case:
    padding = ~case.inputs["mask"]
    inputs = {name: case.inputs[name].masked_fill(padding, torch.nan) for name in ("values", "rewards")}
    return Case(f"{case.description}, and NaN at padding", {**case.inputs, **inputs})


CASES = {
    "example": Case(
        "a text of three tokens: values = [[0.5, 0.6, 0.8, 0.7, 0.3]], rewards = [[0, 0, 1, 0, 0]], mask = 11100, "
        "gamma = 1, lam = 0.5",
        {
            "values": torch.tensor([[0.5, 0.6, 0.8, 0.7, 0.3]]),
            "rewards": torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]),
            "mask": mask_of_rows("11100"),
            "gamma": 1.0,
            "lam": 0.5,
        },
    ),
    "padded": _case(301, 0.9, 0.7, "1111100", "1111111", "1100000"),
    "no padding": _case(303, 0.95, 0.6, "1111", "1111"),
    "one step": _case(305, 1.0, 0.0, "11110", "11100"),
    "all steps": _case(307, 1.0, 1.0, "111000", "111110"),
    "gamma 0": _case(309, 0.0, 0.8, "1110", "1111", "1000"),
    "one text": _case(311, 0.8, 0.9, "111100"),
    "one token": _case(313, 0.9, 0.5, "1", "1", "1"),
    "no token": _case(315, 0.9, 0.8, "00000", "11100"),
}
CASES |= {
    "NaN at padding": _with_nan_at_padding(CASES["padded"]),
    "slices": sliced(CASES["padded"]),
    "float64": in_float64(CASES["padded"]),
    "other values": other_values(CASES["no padding"]),
    "equal rows": with_equal_rows(CASES["padded"]),
    "requires gradients": requiring_gradients(CASES["padded"]),
}


def _observe(compute_gae: Answer, inputs: Mapping[str, Any]) -> Observation:
    observation = observe_call(compute_gae, inputs)
    leaves = [
        value.detach().clone().requires_grad_(value.is_floating_point()) if isinstance(value, Tensor) else value
        for value in inputs.values()
    ]
    return {**observation, "carries a gradient": bool(getattr(compute_gae(*leaves), "requires_grad", False))}


_TERMS = ("r_0", "r_1", "V_0", "V_1")
_GAMMA, _LAM = 0.5, 0.25


def _explain(compute_gae: Answer, case: Case) -> str:
    """Return what a wrong answer computes for a text of two tokens, or from padding; empty if neither is wrong."""
    found = _coefficients(compute_gae, "11")
    return (_explain_two_tokens(*found) if found is not None else "") or _explain_padding(compute_gae)


def _explain_two_tokens(first: dict[str, float], second: dict[str, float]) -> str:
    """Return which of the two advantages of a text is wrong, as a formula, or an empty string."""
    rest = _GAMMA * _LAM
    right_first = {"r_0": 1.0, "r_1": rest, "V_0": -1.0, "V_1": _GAMMA - rest}
    right_second = {"r_0": 0.0, "r_1": 1.0, "V_0": 0.0, "V_1": -1.0}
    of_two = f"of a text of two tokens, with gamma = {_GAMMA} and lam = {_LAM}, your"
    if abs(second["r_0"]) > 1e-6 or abs(second["V_0"]) > 1e-6:
        return (
            f"{of_two} second advantage is {format_linear(second)}; an advantage depends on what comes after its token "
            "alone, so begin at the last one"
        )
    for position, got, right in (("second", second, right_second), ("first", first, right_first)):
        if any(abs(got[term] - right[term]) > 1e-5 for term in _TERMS):
            return f"{of_two} {position} advantage is {format_linear(got)}, and should be {format_linear(right)}"
    return ""


def _explain_padding(compute_gae: Answer) -> str:
    """Return what of padding reaches a token, or that padding has an advantage; else an empty string."""
    of_one = "of a text of one token and padding"
    if (found := _coefficients(compute_gae, "10")) is not None:
        reaching = {term: found[0][term] for term in ("r_1", "V_1")}
        if any(abs(coefficient) > 1e-6 for coefficient in reaching.values()):
            return f"{of_one}, {format_linear(reaching)} of the padding is in the first advantage"
    at_padding = _advantages(compute_gae, "10", torch.tensor([1.5, -2.0, 0.75, 3.0]))[1]
    return f"{of_one}, the advantage at padding is not 0" if at_padding != 0 else ""


def _advantages(compute_gae: Answer, row: str, numbers: Tensor) -> Tensor:
    """Return an answer's advantages of one row of two columns, whose two rewards and two values are `numbers`."""
    rewards, values = numbers[None, :2].clone(), numbers[None, 2:].clone()
    return compute_gae(values, rewards, mask_of_rows(row), _GAMMA, _LAM).detach().reshape(2).double()


def _coefficients(compute_gae: Answer, row: str) -> list[dict[str, float]] | None:
    """Return how each advantage of one row of two columns depends on rewards and values; None if not linearly."""
    units = torch.stack([_advantages(compute_gae, row, unit) for unit in torch.eye(4)], dim=1)
    for numbers in (torch.tensor([1.5, -2.0, 0.75, 3.0]), torch.tensor([-1.0, 4.0, 2.5, -0.5])):
        if not torch.allclose(units @ numbers.double(), _advantages(compute_gae, row, numbers), atol=1e-5):
            return None
    return [dict(zip(_TERMS, row_of_units.tolist(), strict=True)) for row_of_units in units]


_VARIATIONS = variations(
    CASES["padded"],
    values=normal(3, 7, seed=317),
    rewards=normal(3, 7, seed=319),
    mask=mask_of_rows("1110000", "1111100", "1111111"),
    gamma=0.5,
    lam=0.2,
)
CHECK = Check("compute_gae", CASES, _observe, variations=_VARIATIONS, explain=_explain)


def test_three_tokens_give_the_numbers_that_one_can_work_out_by_hand(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "example")


def test_each_text_ends_at_its_own_last_token(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "padded")


def test_texts_without_padding_end_at_the_last_column(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "no padding")


def test_lambda_0_gives_one_step_advantages(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "one step")


def test_lambda_1_counts_all_rewards_that_follow(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "all steps")


def test_gamma_0_counts_nothing_that_follows(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "gamma 0")


def test_one_text_is_a_batch_too(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "one text")


def test_the_only_token_is_the_last(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "one token")


def test_a_text_without_a_token_gets_zeros(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "no token")


def test_what_stands_at_padding_counts_for_nothing_nan_included(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "NaN at padding")


def test_slices_of_larger_tensors_give_the_same(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "slices")


def test_float64_gives_float64(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "other values")


def test_equal_rows_each_count(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "equal rows")


def test_inputs_that_require_gradients_stay_as_they_were(compute_gae: Answer) -> None:
    CHECK.require(compute_gae, "requires gradients")
