"""Hidden tests of `reward_fn_char_count`."""

from functools import lru_cache, partial

import pytest
import torch

from rlhf_course.grading.judge.circumstances import ORDINARY, Circumstance, Inputs, Texts
from rlhf_course.grading.judge.compare import expect_calls_leave_torch_alone, expect_form, expect_values
from rlhf_course.grading.judge.rollouts import drawn_texts
from rlhf_course.grading.judge.texts import crowded_texts, ordinary_text, texts_between_blanks

SIGNS = (*"*+?()[]{}^$|\\", "…", "’", "中", "👍")


def with_insertions(draw, text, pieces):
    """Return a text with pieces at random places."""
    for piece in pieces:
        place = draw.integer(0, len(text))
        text = text[:place] + piece + text[place:]
    return text


def text_with_periods(draw):
    """Draw a text with periods and commas at any place."""
    pieces = [draw.choice((".", ".", "..", ",")) for _ in range(draw.integer(4, 16))]
    return with_insertions(draw, ordinary_text(draw) + ordinary_text(draw).upper(), pieces)


def from_rollout(draw):
    """Draw some of the model's texts."""
    return {"generated_sample": tuple(drawn_texts(draw))}


INPUTS = Inputs(
    sizes={"texts": (2, 6)},
    arguments={"generated_sample": Texts("texts", text_with_periods)},
    words={"texts": "one text"},
    rollout=from_rollout,
)
CROWDED = Circumstance("for counts over 2,048", texts=partial(crowded_texts, ".s"))
BETWEEN_BLANKS = Circumstance("for texts that begin and end with spaces or new lines", texts=texts_between_blanks)


@lru_cache(10_000)
def count(text, char):
    """Return how often a character occurs in a text."""
    return sum(letter == char for letter in text)


def counts(texts, char):
    """Return how often a character occurs in each text."""
    return torch.tensor([count(text, char) for text in texts], dtype=torch.float64)


def expect_counts(got, texts, char, subject, why):
    """Require the right counts."""
    expect_values(got, counts(texts, char), subject, why)


@pytest.mark.points(1)
def test_periods_are_counted_where_no_other_character_is_asked_for(reward_fn_char_count, draw):
    for call in INPUTS.calls(draw, [ORDINARY], each=3):
        got = reward_fn_char_count(*call.passed())
        why = "it is the number of periods in each text"
        expect_counts(got, call.exact["generated_sample"], ".", call.subject("The reward"), why)


@pytest.mark.points(1)
def test_the_character_that_is_asked_for_is_counted(reward_fn_char_count, draw):
    upper, lower, sign = draw.choice("SADEN"), draw.choice("sadeno"), draw.choice(SIGNS)
    for char in draw.shuffled([upper, lower, sign, "*", "|"]):
        call = INPUTS.call(draw.numbered(draw.integer(1, 9999)))
        texts = [with_insertions(draw, text, draw.integer(0, 4) * [char]) for text in call.exact["generated_sample"]]
        got = reward_fn_char_count(list(texts), char)
        subject = "The reward for a letter" if char.isalpha() else "The reward for a sign that is no period"
        expect_counts(got, texts, char, subject, "it is the number of times that `char` occurs, as it is written")


@pytest.mark.points(1)
def test_characters_count_wherever_they_stand_in_any_text(reward_fn_char_count, draw):
    why = "each occurrence counts, wherever it stands, and a text is neither changed, cut nor left out before"
    for call in INPUTS.calls(draw, [*INPUTS.other_circumstances(), CROWDED, BETWEEN_BLANKS]):
        texts = call.exact["generated_sample"]
        for char in characters_of(texts, draw):
            got = reward_fn_char_count(*call.passed(), char)
            expect_counts(got, texts, char, call.subject("The reward"), why)


def characters_of(texts, draw):
    """Return the period, all other characters of texts that are no letters of ASCII, and two of these letters."""
    found = sorted(set("".join(texts)))
    letters = [char for char in found if char.isascii() and char.isalnum()]
    others = [char for char in found if char not in letters and char != "."]
    return draw.shuffled([".", *others, *draw.sample(letters, min(2, len(letters)))])


@pytest.mark.points(0.5)
def test_each_text_has_a_float_of_its_own_and_one_text_is_a_batch_of_one(reward_fn_char_count, draw):
    for call in INPUTS.calls(draw, INPUTS.size_circumstances(), each=2):
        got = reward_fn_char_count(*call.passed(), ".")
        wanted = counts(call.exact["generated_sample"], ".")
        expect_form(got, wanted, call.subject("The reward"), None)
        expect_values(got, wanted, call.subject("The reward"), "it is the number of periods in each text")


@pytest.mark.points(0.5)
def test_the_texts_are_left_as_they_were(reward_fn_char_count, draw):
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = reward_fn_char_count(*passed, ".")
        wanted = counts(call.exact["generated_sample"], ".")
        expect_values(got, wanted, call.subject("The reward"), "it is the number of periods in each text")
        assert not call.changed(passed), "The list of texts was changed: the caller still needs it, so copy it first"
    expect_calls_leave_torch_alone(reward_fn_char_count, [INPUTS.call(draw).passed()])
