"""Hidden tests of `completion_mask`."""

import pytest
import torch

from rlhf_course.grading.judge.circumstances import GPT2_VOCABULARY, ORDINARY, Circumstance, Inputs, Size, Tokens
from rlhf_course.grading.judge.compare import expect_form, expect_results_stay, expect_unchanged, expect_values

WHY = "it is True up to and with a text's first end-of-text token, and everywhere where there is none"
INPUTS = Inputs(
    sizes={"texts": (2, 6), "gen": (3, 10), "vocab": (3, 9)},
    # `with_end` draws the id of the end-of-text token.
    arguments={"completion_ids": Tokens(("texts", "gen")), "eos_token_id": Size("vocab")},
    words={"texts": "one text", "gen": "texts of one token"},
)
MANY = Circumstance("for many texts", sizes={"texts": 40, "gen": 9})
LONG = Circumstance("for long texts", sizes={"texts": 4, "gen": 180})


def mask(completion_ids, eos_token_id):
    """Return the mask, token by token."""
    rows = []
    for tokens in completion_ids.tolist():
        length = tokens.index(eos_token_id) + 1 if eos_token_id in tokens else len(tokens)
        rows.append([position < length for position in range(len(tokens))])
    return torch.tensor(rows)


def with_end(draw, call):
    """Return the call with the id of an end-of-text token, which the first text holds and which is not 0."""
    ids = call.exact["completion_ids"] + 1
    return call.with_arguments(completion_ids=ids, eos_token_id=draw.choice(ids[0].tolist()))


def with_late_ends(draw, call):
    """Return the call with texts that end in the second half of their tokens, with other tokens and ends after it."""
    end = draw.integer(1, 9)
    ids = draw.integers(10, 30, *call.exact["completion_ids"].shape)
    gen = ids.shape[1]
    for row in range(len(ids)):
        first = draw.integer(gen // 2, gen - 1)
        ids[row, first] = end
        ids[row, first + 1 :] = torch.tensor([end, 12])[draw.integers(0, 1, gen - first - 1)]
    return call.with_arguments(completion_ids=ids, eos_token_id=end)


def without_ends(draw, call):
    """Return the call with texts without an end-of-text token, and with texts of which some have none."""
    ids = call.exact["completion_ids"] + 1
    end = call.sizes["vocab"] + 1
    some = ids.clone()
    some[draw.integer(0, len(ids) - 1), draw.integer(0, ids.shape[1] - 1)] = end
    yield call.with_arguments("where no text has an end", completion_ids=ids, eos_token_id=end)
    yield call.with_arguments("where some texts have no end", completion_ids=some, eos_token_id=end)


def expect_mask(completion_mask, call, why=WHY):
    """Require the right mask in one call."""
    got = completion_mask(*call.passed())
    expect_values(got, call.right(mask), call.subject("The mask"), why, call)


@pytest.mark.points(2.5)
def test_the_mask_is_true_up_to_and_with_the_first_end_of_text_token(completion_mask, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), ORDINARY, MANY]):
        expect_mask(completion_mask, with_end(draw, call))
    for call in INPUTS.calls(draw, [ORDINARY, MANY, LONG]):
        expect_mask(completion_mask, with_late_ends(draw, call))


@pytest.mark.points(1)
def test_a_text_without_an_end_counts_as_a_whole(completion_mask, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), ORDINARY]):
        expect_mask(completion_mask, with_end(draw, call))
        for changed in without_ends(draw, call):
            expect_mask(completion_mask, changed, "a text that was cut off counts as a whole")


def with_other_padding(draw, call):
    """Return calls whose texts end with their first token or later, and have anything after it."""
    call = with_end(draw, call)
    end, ids, is_real = call.exact["eos_token_id"], call.exact["completion_ids"], call.right(mask)
    paddings = {
        "where end-of-text tokens follow the end": torch.full_like(ids, end),
        "where zeros follow the end": torch.zeros_like(ids),
        "where -100 follows the end": torch.full_like(ids, -100),
        "where ids beyond the vocabulary follow the end": 10**6 + ids,
        "where end-of-text tokens and others follow the end": torch.where(
            draw.integers(0, 1, *ids.shape) == 0, end, draw.integers(-2, 12, *ids.shape)
        ),
    }
    for phrase, padding in paddings.items():
        yield call.with_arguments(phrase, completion_ids=torch.where(is_real, ids, padding))


@pytest.mark.points(1)
def test_what_follows_the_end_may_be_anything(completion_mask, draw):
    for call in INPUTS.calls(draw, [ORDINARY, ORDINARY]):
        for changed in with_other_padding(draw, call):
            expect_mask(completion_mask, changed, "what follows the first end-of-text token is padding")
    ids = draw.integers(1, 9, 3, 600)
    ids[0], ids[1, draw.integer(1, 5) :] = 0, 0
    call = INPUTS.call(draw.numbered(0))
    phrase = "for texts with hundreds of end-of-text tokens"
    expect_mask(completion_mask, call.with_arguments(phrase, completion_ids=ids + 1, eos_token_id=1))


@pytest.mark.points(0.5)
def test_any_id_may_be_that_of_the_end_of_text_token(completion_mask, draw):
    for number, low in enumerate(draw.shuffled([GPT2_VOCABULARY - 9, GPT2_VOCABULARY - 9, draw.integer(100, 40_000)])):
        call = with_end(draw, INPUTS.call(draw.numbered(number)))
        moved = call.exact["completion_ids"] - call.exact["completion_ids"].min() + low
        end = int(moved[0, draw.integer(0, moved.shape[1] - 1)])
        expect_mask(
            completion_mask, call.with_arguments("for another id of the end", completion_ids=moved, eos_token_id=end)
        )
    # Ids that are the end's plus multiples of 256 are the same in one byte.
    call = with_end(draw, INPUTS.call(draw.numbered(-1)))
    ids, end = call.exact["completion_ids"], call.exact["eos_token_id"]
    ids = torch.where(draw.integers(0, 2, *ids.shape) > 0, end + 256 * draw.integers(1, 150, *ids.shape), ids)
    expect_mask(completion_mask, call.with_arguments("for another id of the end", completion_ids=ids))
    # Ids that other tokenizers give to their end are ids like all others.
    call = INPUTS.call(draw.numbered(-2), Circumstance(sizes={"texts": 5, "gen": 9}))
    for usual in draw.shuffled([0, 1, 2, GPT2_VOCABULARY - 1]):
        ids = draw.integers(10, 30, *call.exact["completion_ids"].shape)
        end = draw.integer(3, 9)
        ids[:, 1], ids[:-1, 5] = usual, end
        phrase = "for texts that hold the id of another tokenizer's end"
        expect_mask(completion_mask, call.with_arguments(phrase, completion_ids=ids, eos_token_id=end))
    for phrase, end in (("where the end has the id 0", 0), ("where the end has the largest id", GPT2_VOCABULARY - 1)):
        ids = INPUTS.call(draw).exact["completion_ids"] + (1 if end == 0 else end - 12)
        ids[0, draw.integer(1, ids.shape[1] - 2)] = end
        expect_mask(completion_mask, INPUTS.call(draw).with_arguments(phrase, completion_ids=ids, eos_token_id=end))


@pytest.mark.points(0.5)
def test_every_circumstance_gives_the_same_mask(completion_mask, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_mask(completion_mask, with_end(draw, call))
    calls = [with_end(draw, call) for call in INPUTS.calls(draw, [ORDINARY])]
    expect_results_stay(completion_mask, calls, mask, "The mask")


@pytest.mark.points(0.5)
def test_the_mask_is_boolean_with_the_shape_of_the_ids_which_stay_as_they_were(completion_mask, draw):
    expect_mask(completion_mask, with_end(draw, INPUTS.call(draw.numbered(0))))
    for drawn in INPUTS.calls(draw, INPUTS.all_circumstances()):
        call = with_end(draw, drawn)
        passed = call.passed()
        got = completion_mask(*passed)
        expect_form(got, call.right(mask), call.subject("The mask"), torch.bool)
        expect_unchanged(call, passed)
