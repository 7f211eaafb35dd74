"""Self-check of `completion_mask`."""

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, integers, observe_call

HINTS = (
    "A token belongs to its completion as long as no end-of-text token stands before it. The end itself belongs to "
    "the completion: it was sampled like every other token.",
    "A comparison of `completion_ids` with `eos_token_id` gives a tensor of shape [batch, gen], True at each "
    "end-of-text token. What you need for each position is how many of them stand before it in the same row.",
    "Make whole numbers of the comparison and take their `cumsum` along dimension 1: that counts the ends up to and "
    "with each position. Subtract the comparison itself, so that the position's own token is not counted. The mask is "
    "True where 0 is left.",
)


def _case(words: str, eos_token_id: int, *rows: list[int]) -> Case:
    ids = torch.tensor(rows)
    listed = ", ".join(map(str, rows))
    return Case(
        f"{words}: completion_ids = [{listed}], eos_token_id = {eos_token_id}",
        {"completion_ids": ids, "eos_token_id": eos_token_id},
    )


def _random(seed: int, texts: int, gen: int, ids: int, eos_token_id: int) -> Case:
    tokens: Tensor = integers(0, ids, texts, gen, seed=seed)
    inputs = {"completion_ids": tokens, "eos_token_id": eos_token_id}
    return Case(
        f"completion_ids of shape [{texts}, {gen}], with ids below {ids}, eos_token_id = {eos_token_id}", inputs
    )


CASES = {
    "example": _case("five tokens", 9, [4, 7, 9, 9, 9], [3, 9, 9, 9, 9]),
    "no end": _case("texts without an end", 9, [4, 7, 5, 2], [1, 8, 8, 3], [6, 9, 9, 9]),
    "nobody ends": _case("no text with an end", 9, [4, 7, 5], [1, 8, 3]),
    "tokens after the end": _case("other tokens after the end", 2, [5, 2, 7, 0, 2, 5], [2, 4, 2, 2, 9, 2]),
    "first token": _case("texts that end with their first token", 5, [5, 1, 3], [5, 5, 5], [1, 2, 5]),
    "end of id 0": _case("an end-of-text token with the id 0", 0, [3, 0, 1, 2], [0, 0, 0, 0], [1, 2, 3, 4]),
    "negative padding": _case("-100 after the end", 7, [1, 7, -100, -100], [7, -100, -100, -100], [1, 2, 3, 7]),
    "large ids": _case("ids of GPT-2", 50256, [50255, 11, 50256, 50256], [13, 50256, 262, 13]),
    "random": _random(351, 4, 9, 5, 3),
    "square": _random(353, 4, 4, 4, 1),
    "one text": _case("one text", 3, [1, 3, 2]),
    "one token": _case("texts of one token", 4, [4], [2]),
}
CASES |= {
    "slices": sliced(CASES["random"]),
    "other values": other_values(CASES["random"]),
    "equal rows": with_equal_rows(CASES["random"]),
}
CHECK = Check("completion_mask", CASES, observe_call, variations=variations(CASES["random"], eos_token_id=1))


def test_five_tokens_are_true_up_to_and_with_the_end(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "example")


def test_a_text_without_an_end_is_true_everywhere(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "no end")


def test_all_texts_may_be_without_an_end(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "nobody ends")


def test_nothing_after_the_first_end_counts(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "tokens after the end")


def test_a_text_may_end_with_its_first_token(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "first token")


def test_the_id_of_the_end_may_be_0(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "end of id 0")


def test_padding_may_be_negative(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "negative padding")


def test_ids_may_be_large(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "large ids")


def test_each_text_has_its_own_end(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "random")


def test_as_many_texts_as_tokens_are_no_special_case(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "square")


def test_one_text_is_a_batch_too(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "one text")


def test_the_only_token_always_counts(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "one token")


def test_slices_of_larger_tensors_give_the_same(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "slices")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "other values")


def test_equal_rows_each_count(completion_mask: Answer) -> None:
    CHECK.require(completion_mask, "equal rows")
