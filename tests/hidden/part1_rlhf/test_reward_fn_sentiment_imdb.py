"""Hidden tests of `reward_fn_sentiment_imdb`, on a tiny classifier that takes the place of the real one.

Where a test is about something else than padding, its texts have as many words as each other.
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
    """The tiny classifier and its tokenizer, loaded by Hugging Face's own code."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = classifier_folder()
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@cache
@torch.no_grad()
def positive_alone(text):
    model, tokenizer = classifier()
    return model(**tokenizer(text, return_tensors="pt")).logits[0].double().softmax(0)[1]


def positive(texts):
    """The probability of the positive class for each text, read alone."""
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
    assert not got.requires_grad, "The reward carries a gradient: no gradient is wanted from the classifier"


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
        "the token is taken out before the text is read",
    )


@pytest.mark.points(1.5)
def test_another_direction_is_a_value_error(reward_fn_sentiment_imdb):
    got = reward_fn_sentiment_imdb(list(TEXTS), "pos")
    expect(got, positive(TEXTS), "The reward in the positive direction", "it is the probability of class 1")
    for direction in ("positive", "up", "NEG", ""):
        raised = ()
        try:
            reward_fn_sentiment_imdb(list(TEXTS), direction)
        except AnswerError as error:
            if error.kind != "error":
                raise
            raised = error.exception
        assert raised, "Another direction than 'pos' and 'neg' should raise a ValueError; a result came"
        assert "ValueError" in raised, (
            f"Another direction than 'pos' and 'neg' should raise a ValueError; it raised {raised[0]}"
        )


@pytest.mark.points(1)
def test_one_text_is_a_batch_of_one(reward_fn_sentiment_imdb):
    expect(
        reward_fn_sentiment_imdb(["was the film good"], "pos"),
        positive(["was the film good"]),
        "The reward of one text",
        "the result is [batch]",
    )
