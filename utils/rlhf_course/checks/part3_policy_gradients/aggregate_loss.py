"""Self-check of `aggregate_loss`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import (
    Answer,
    Case,
    Check,
    Observation,
    mask_of_rows,
    normal,
    observe_call,
    observe_result,
    refused,
)

HINTS = (
    "Each kind gives a token another weight. By sequence, a token of a long text weighs less than one of a short text, "
    "since each text weighs the same. By token, all weigh the same, so long texts weigh more. The constant does not "
    "depend on the lengths that happen to be in the batch.",
    "`token_loss` and `mask` have shape [batch, gen]; lengths and sums of texts have shape [batch]; the result is a "
    "scalar. First refuse what is refused: look at kind, at max_length, and at the lengths.",
    "Write 0 where the mask is False (`masked_fill` or `torch.where`; a product with 0 would keep a NaN), and sum over "
    "the tokens of each text. Then divide each sum by its text's length and take the mean; or divide the sum of all "
    "sums by the sum of all lengths; or by the number of texts times max_length.",
)
AGGREGATIONS = ("sequence_mean", "token_mean", "constant")


def _case(words: str, kind: str, seed: int, *rows: str, max_length: int | None = None) -> Case:
    mask = mask_of_rows(*rows)
    inputs = {"token_loss": normal(*mask.shape, seed=seed), "mask": mask, "kind": kind, "max_length": max_length}
    shown = "" if max_length is None else f", max_length = {max_length}"
    return Case(f"{words}: mask = {', '.join(rows)}, kind = {kind!r}{shown}", inputs)


def _example(kind: str) -> Case:
    max_length = 16 if kind == "constant" else None
    mask = torch.arange(16) < torch.tensor([[4], [16]])
    inputs = {
        "token_loss": torch.tensor([[-1.0], [1.0]]).expand(2, 16).clone(),
        "mask": mask,
        "kind": kind,
        "max_length": max_length,
    }
    words = "the notebook's example: a text of 4 tokens with losses of -1, and one of 16 tokens with losses of 1"
    return Case(f"{words}, kind = {kind!r}, max_length = {max_length}", inputs)


_ROWS = ("11100", "11111", "10000")
_LENGTHS = {"sequence_mean": None, "token_mean": None, "constant": 8}


def _with_nan(case: Case) -> Case:
    losses = case.inputs["token_loss"].clone()
    losses[~case.inputs["mask"]] = torch.nan
    return Case(f"{case.description}: NaN at padding", {**case.inputs, "token_loss": losses})


_TEXTS = {kind: _case("three texts", kind, 361, *_ROWS, max_length=length) for kind, length in _LENGTHS.items()}
CASES = {
    **{f"example, {kind}": _example(kind) for kind in AGGREGATIONS},
    **_TEXTS,
    **{f"NaN, {kind}": _with_nan(case) for kind, case in _TEXTS.items()},
    "padding on the left": _case("padding on the left", "sequence_mean", 365, "0111", "1111", "0001"),
    "one text": _case("one text", "token_mean", 367, "110"),
    "one token": _case("one token", "constant", 369, "1", max_length=4),
    "slices": sliced(_TEXTS["constant"]),
    "float64": in_float64(_TEXTS["token_mean"]),
    "other values": other_values(_TEXTS["sequence_mean"]),
    "equal rows": with_equal_rows(_TEXTS["constant"]),
    "another kind": refused(_case("three texts", "mean", 361, *_ROWS), "there is no kind of this name"),
    "no max_length": refused(_case("three texts", "constant", 361, *_ROWS), "`constant` needs a max_length"),
    "max_length without meaning": refused(
        _case("three texts", "token_mean", 361, *_ROWS, max_length=8), "max_length has a meaning for `constant` alone"
    ),
    "max_length by sequence": refused(
        _case("three texts", "sequence_mean", 361, *_ROWS, max_length=8),
        "max_length has a meaning for `constant` alone",
    ),
    "no real token": refused(
        _case("a text without a real token", "token_mean", 371, "110", "000", "100"), "a text has no real token"
    ),
}


def _observe(aggregate_loss: Answer, inputs: Mapping[str, Any]) -> Observation:
    if not bool(inputs["token_loss"].isnan().any()):
        return observe_call(aggregate_loss, inputs, gradient_of="token_loss")
    losses = inputs["token_loss"].clone().requires_grad_(True)  # No NaN equals another one in `observe_call`.
    observation = observe_result(result := aggregate_loss(losses, *list(inputs.values())[1:]))
    if isinstance(result, Tensor) and result.requires_grad:
        (found,) = torch.autograd.grad(result.sum(), losses)
        observation["gradient of token_loss at padding"] = found[~inputs["mask"]]
    return observation


_VARIATIONS = {
    **variations(_TEXTS["constant"], mask=mask_of_rows("11111", "11000", "11100"), max_length=16),
    **variations(_TEXTS["token_mean"], kind="sequence_mean"),
}
CHECK = Check("aggregate_loss", CASES, _observe, variations=_VARIATIONS)


def test_the_example_of_the_notebook_gives_its_numbers(aggregate_loss: Answer) -> None:
    for kind in AGGREGATIONS:
        CHECK.require(aggregate_loss, f"example, {kind}")


def test_by_sequence_each_text_weighs_the_same(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "sequence_mean")


def test_by_token_each_token_weighs_the_same(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "token_mean")


def test_the_constant_is_the_number_of_texts_times_max_length(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "constant")


def test_what_stands_at_padding_counts_for_nothing_nan_included(aggregate_loss: Answer) -> None:
    for kind in AGGREGATIONS:
        CHECK.require(aggregate_loss, f"NaN, {kind}")


def test_padding_may_stand_on_the_left(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "padding on the left")


def test_one_text_is_a_batch_too(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "one text")


def test_one_token_is_a_text_too(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "one token")


def test_slices_of_larger_tensors_give_the_same(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "slices")


def test_float64_gives_float64(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "other values")


def test_equal_rows_each_count(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "equal rows")


def test_another_kind_is_a_value_error(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "another kind")


def test_a_missing_max_length_is_a_value_error(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "no max_length")


def test_a_max_length_without_meaning_is_a_value_error(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "max_length without meaning")
    CHECK.require(aggregate_loss, "max_length by sequence")


def test_a_text_without_a_real_token_is_a_value_error(aggregate_loss: Answer) -> None:
    CHECK.require(aggregate_loss, "no real token")
