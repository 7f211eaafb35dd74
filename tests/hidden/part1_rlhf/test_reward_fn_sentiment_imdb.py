"""Hidden tests of `reward_fn_sentiment_imdb`, with a tiny classifier in place of the real one.

The texts of a test have the same number of words, except in the test of padding.
"""

from functools import cache

import pytest
import torch

from rlhf_course.checks.tiny import classifier_folder
from rlhf_course.grading.judge.expect import expect
from rlhf_course.grading.sandbox.answers import AnswerError

TEXTS = ["this film was good", "a dull story and", "never bad the end"]


@cache
def classifier():
    """Return the tiny classifier and its tokenizer, loaded with Hugging Face's own code."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = classifier_folder()
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@cache
@torch.no_grad()
def positive_alone(text):
    """Return the probability that a text is positive, without other texts in the batch."""
    model, tokenizer = classifier()
    return model(**tokenizer(text, return_tensors="pt")).logits[0].double().softmax(0)[1]


def positive(texts):
    """Return the probability that each text is positive, without other texts in its batch."""
    return torch.stack([positive_alone(text) for text in texts])


@pytest.mark.points(2)
def test_the_reward_is_the_probability_of_a_positive_review(reward_fn_sentiment_imdb):
    got = reward_fn_sentiment_imdb(list(TEXTS))
    expect(
        got,
        positive(TEXTS),
        "The reward of three texts",
        "it is the probability of class 1 (positive), by a softmax over the two classes",
    )
    assert not got.requires_grad, "The reward carries a gradient: compute it under torch.no_grad()"


@pytest.mark.points(2)
def test_in_the_negative_direction_it_is_that_of_a_negative_review(reward_fn_sentiment_imdb):
    got = reward_fn_sentiment_imdb(list(TEXTS), "neg")
    expect(got, 1 - positive(TEXTS), "The reward in the negative direction", "it is the probability of class 0")
    expect(
        reward_fn_sentiment_imdb(TEXTS[::-1], direction="neg"),
        1 - positive(TEXTS[::-1]),
        "The reward in the negative direction",
    )


@pytest.mark.points(2)
def test_padding_changes_no_score(reward_fn_sentiment_imdb):
    texts = ["good", "this film was never a dull story and the end was good", "bad film", "a"]
    got = reward_fn_sentiment_imdb(texts, "pos")
    expect(
        got,
        positive(texts),
        "The reward of texts of different lengths",
        "each has the score that it has alone: padding is masked",
        atol=1e-4,
    )


@pytest.mark.points(1.5)
def test_the_end_of_text_token_is_no_part_of_a_review(reward_fn_sentiment_imdb):
    end = "<|endoftext|>"
    texts = [f"{end}{TEXTS[0]}", f"{TEXTS[1]} {end}", f"{end} {TEXTS[2]} {end}{end}"]
    got = reward_fn_sentiment_imdb(texts, "pos")
    expect(
        got,
        positive(TEXTS),
        "The reward of texts with the end-of-text token",
        "the token is removed before the text is classified",
    )


@pytest.mark.points(1.5)
def test_another_direction_is_a_value_error(reward_fn_sentiment_imdb):
    got = reward_fn_sentiment_imdb(list(TEXTS), "pos")
    expect(got, positive(TEXTS), "The reward in the positive direction", "it is the probability of class 1")
    for direction in ("positive", "up", "NEG", ""):
        exception_types = ()
        try:
            reward_fn_sentiment_imdb(list(TEXTS), direction)
        except AnswerError as error:
            if error.kind != "error":
                raise
            exception_types = error.exception
        assert exception_types, "Another direction than 'pos' and 'neg' should raise a ValueError; a result came"
        assert "ValueError" in exception_types, (
            f"Another direction than 'pos' and 'neg' should raise a ValueError; it raised {exception_types[0]}"
        )


@pytest.mark.points(1)
def test_one_text_is_a_batch_of_one(reward_fn_sentiment_imdb):
    expect(
        reward_fn_sentiment_imdb(["was the film good"], "pos"),
        positive(["was the film good"]),
        "The reward of one text",
        "the result has shape [batch]",
    )
