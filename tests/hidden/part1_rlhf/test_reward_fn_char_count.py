"""Hidden tests of `reward_fn_char_count`."""

import random

import pytest
import torch

from rlhf_course.grading.judge.expect import expect

TEXTS = ["The U.S. census of 1.1.1900.", "no dots at all", "...", "a.", ".b.c"]


def counts(texts, char):
    """Return how often a character occurs in each text."""
    return torch.tensor([float(sum(letter == char for letter in text)) for text in texts])


@pytest.mark.points(1)
def test_periods_are_counted_where_no_other_character_is_asked_for(reward_fn_char_count):
    expect(
        reward_fn_char_count(list(TEXTS)),
        counts(TEXTS, "."),
        "The reward of five texts",
        "it is the number of periods in each text",
    )


@pytest.mark.points(1)
def test_the_character_that_is_asked_for_is_counted(reward_fn_char_count):
    for char, texts in {
        "s": ["Mississippi", "S.O.S", "", "ss s"],
        "*": ["2*3*4", "**", "."],
        "é": ["éé.", "e", "né"],
    }.items():
        subject = "The reward for a letter" if char.isalpha() else "The reward for a sign that is no period"
        expect(
            reward_fn_char_count(list(texts), char),
            counts(texts, char),
            subject,
            "it is the number of times that `char` occurs, as it is written",
        )


@pytest.mark.points(1)
def test_characters_count_wherever_they_stand_in_any_text(reward_fn_char_count):
    rng = random.Random(17)
    texts = ["." * 64, "", " . ", "one.\n.two\n\n.", "\t..\r\n.", "1.000.000,5"]
    texts += ["".join(rng.choices("ab .\n,", k=rng.randrange(40))) for _ in range(7)]
    reason = "every occurrence counts, in long texts, after line breaks and in empty texts, where there is none"
    expect(reward_fn_char_count(list(texts), "."), counts(texts, "."), "The reward of texts of all kinds", reason)


@pytest.mark.points(0.5)
def test_one_text_is_a_batch_of_one(reward_fn_char_count):
    text = ["J. R. R. Tolkien"]
    expect(
        reward_fn_char_count(list(text), "."),
        counts(text, "."),
        "The reward of one text",
        "it is the number of periods in it",
    )


@pytest.mark.points(0.5)
def test_the_texts_are_left_as_they_were(reward_fn_char_count):
    texts = list(TEXTS)
    expect(
        reward_fn_char_count(texts, "."),
        counts(TEXTS, "."),
        "The reward of five texts",
        "it is the number of periods in each",
    )
    assert texts == TEXTS, "The list of texts was changed: the caller still needs it, so copy it first"
