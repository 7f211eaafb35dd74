"""Self-check of `sft_loss`."""

from functools import partial

import torch

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, with_equal_rows
from rlhf_course.checks.core import Answer, Case, mask_of_rows, refused
from rlhf_course.checks.masked_logits import (
    masked_logits,
    masked_logits_check,
    with_extreme_logits,
    with_nan_elsewhere,
)

HINTS = (
    "A demonstration is learnt by making each of its tokens likelier. The loss of a token is minus its "
    "log-probability, and the loss of a batch is the mean over all tokens that the mask names, whichever text they "
    "stand in.",
    "The logits at a position predict the token at the next one: the logits without their last position, and "
    "`input_ids` and the mask without their first one, belong together, and have [batch, seq - 1] positions. The loss "
    "of each position has that shape, and the result has none: it is one number.",
    "Take the logits, ids and mask of these positions. Raise a ValueError if the mask is False at all of them. Select "
    "the logits and the ids by the mask (indexing with a boolean tensor gives [targets, vocab] and [targets]), and "
    "give both to `cross_entropy`, whose mean is over the targets.",
)

_case = partial(masked_logits, mask="loss_mask")
# Each target has one of the probabilities 1/2, 1/4 and 1/8.
_PROBABILITIES = torch.tensor(
    [[0.25, 0.5, 0.25], [0.5, 0.375, 0.125], [0.25, 0.25, 0.5], [0.125, 0.75, 0.125], [0.4, 0.3, 0.3]],
)
CASES = {
    "five tokens": Case(
        "five tokens: logits = logarithms of the probabilities [.25, .5, .25], [.5, .375, .125], [.25, .25, .5], "
        "[.125, .75, .125], [.4, .3, .3], input_ids = [[0, 1, 2, 1, 0]], loss_mask = 00111",
        {
            "logits": _PROBABILITIES.log()[None],
            "input_ids": torch.tensor([[0, 1, 2, 1, 0]]),
            "loss_mask": mask_of_rows("00111"),
        },
    ),
    "padded right": _case("padding on the right", 341, "0011100", "0111111", "0001000"),
    "padded left": _case("padding on the left", 343, "0000111", "0011111", "0000001"),
    "all tokens": _case("every token is named by the mask", 347, "11111", "11111", vocab=4),
    "one text": _case("one text", 351, "01110", vocab=8),
    "a text without a target": _case("a text without a target", 353, "00000", "00110", "10000"),
    "extreme logits": with_extreme_logits(_case("logits near 10000 and -10000", 345, "0111", "0110", vocab=5)),
    "NaN elsewhere": with_nan_elsewhere(_case("NaN at positions that predict no target", 349, "001110", "000110")),
    "no target": refused(
        _case("no target at all", 357, "0000", "0000"), "there is no target whose mean could be taken"
    ),
    "first tokens only": refused(
        _case("the mask names the tokens at position 0 alone", 359, "1000", "1000"),
        "a token at position 0 is no target, since nothing predicts it",
    ),
}
CASES |= {
    "slices": sliced(CASES["padded right"]),
    "float64": in_float64(CASES["one text"]),
    "other values": other_values(CASES["padded right"]),
    "equal rows": with_equal_rows(CASES["padded left"]),
}


CHECK = masked_logits_check("sft_loss", CASES)


def test_the_loss_of_five_tokens_is_the_mean_of_minus_the_logarithms_of_three_probabilities(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "five tokens")


def test_padding_on_the_right_counts_for_nothing(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "padded right")


def test_padding_on_the_left_counts_for_nothing(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "padded left")


def test_the_token_at_position_0_never_counts(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "all tokens")


def test_one_text_is_a_batch_too(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "one text")


def test_a_text_without_a_target_adds_nothing(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "a text without a target")


def test_extreme_logits_give_finite_numbers(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "extreme logits")


def test_logits_that_predict_no_target_count_for_nothing_nan_included(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "NaN elsewhere")


def test_a_batch_without_a_target_is_a_value_error(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "no target")


def test_a_mask_that_names_first_tokens_alone_names_no_target(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "first tokens only")


def test_slices_of_larger_tensors_give_the_same(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "slices")


def test_float64_gives_float64(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "other values")


def test_equal_rows_each_count(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "equal rows")
