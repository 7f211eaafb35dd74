"""Self-check of `sequence_logprobs`."""

from functools import partial

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, with_equal_rows
from rlhf_course.checks.core import Answer, Case, mask_of_rows
from rlhf_course.checks.masked_logits import (
    masked_logits,
    masked_logits_check,
    with_extreme_logits,
    with_nan_elsewhere,
)

HINTS = (
    "The logits at a position predict the token at the next one. So the log-probability of a completion's first token "
    "comes from the logits at the last token of the prompt.",
    "Leave out the last position of the logits, and the first one of `input_ids` and of the mask: then the same index "
    "in all three belongs to the same predicted token. Picking each token's log-probability leaves [batch, seq - 1], "
    "and the sum over the positions where the mask is True leaves [batch].",
    "Take `log_softmax` over the last dimension of the logits without their last position, and `gather` the entries of "
    "the ids from the second one on. Write 0 where the mask is False (`masked_fill` or `torch.where`; a product with 0 "
    "would keep a NaN), and sum over positions.",
)

_case = partial(masked_logits, mask="completion_mask")
# The probabilities of the notebook's example.
_EXAMPLE = torch.tensor(
    [[0.25, 0.5, 0.25], [0.125, 0.625, 0.25], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.3, 0.3, 0.4]],
)
CASES = {
    "example": Case(
        "the notebook's example: the five rows of the table as logits, input_ids = [[0, 1, 2, 1, 2]], "
        "completion_mask = 00110",
        {
            "logits": _EXAMPLE.log()[None],
            "input_ids": torch.tensor([[0, 1, 2, 1, 2]]),
            "completion_mask": mask_of_rows("00110"),
        },
    ),
    "padded right": _case("padding on the right", 241, "0011100", "0111110", "0001000"),
    "padded left": _case("padding on the left", 243, "0000111", "0001111", "0000001"),
    "no padding": _case("neither prompt nor padding", 247, "11111", "11111", vocab=4),
    "one text": _case("one text", 251, "01110", vocab=8),
    "no completion": _case("a text without completion", 253, "00000", "00110"),
    "extreme logits": with_extreme_logits(_case("logits near 10000 and -10000", 245, "0111", "0110", vocab=5)),
    "NaN outside": with_nan_elsewhere(
        _case("NaN at positions that predict no token of the completion", 249, "001110", "000110")
    ),
}
CASES |= {
    "slices": sliced(CASES["padded right"]),
    "float64": in_float64(CASES["one text"]),
    "other values": other_values(CASES["padded right"]),
    "equal rows": with_equal_rows(CASES["padded left"]),
}


CHECK = masked_logits_check("sequence_logprobs", CASES)


def test_the_example_of_the_notebook_gives_its_number(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "example")


def test_padding_on_the_right_adds_nothing(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "padded right")


def test_padding_on_the_left_adds_nothing(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "padded left")


def test_the_first_token_never_counts(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "no padding")


def test_one_text_is_a_batch_too(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "one text")


def test_a_text_without_completion_gives_0(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "no completion")


def test_extreme_logits_give_finite_numbers(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "extreme logits")


def test_what_stands_outside_counts_for_nothing_nan_included(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "NaN outside")


def test_slices_of_larger_tensors_give_the_same(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "slices")


def test_float64_gives_float64(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "other values")


def test_equal_rows_each_count(sequence_logprobs: Answer) -> None:
    CHECK.require(sequence_logprobs, "equal rows")
