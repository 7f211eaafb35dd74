"""Hidden tests of `reward_fn_sentiment_imdb`, with a tiny classifier in place of the real one.

Only the test of padding passes texts of different lengths together, so that a missing attention mask costs that test
alone.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from rlhf_course.checks.tiny import classifier_folder
from rlhf_course.grading.judge.circumstances import (
    TEXT_CIRCUMSTANCES,
    Choice,
    Circumstance,
    Inputs,
    Texts,
)
from rlhf_course.grading.judge.compare import expect_calls_leave_torch_alone, expect_form, expect_values, mend
from rlhf_course.grading.judge.rollouts import drawn_texts
from rlhf_course.grading.judge.texts import END_OF_TEXT, ordinary_text, partly_blank_texts, texts_of_all_lengths, words
from rlhf_course.grading.sandbox.answers import AnswerError

POSITIVE = "it is the probability of class 1 (positive), by a softmax over the two classes"
NEGATIVE = "it is the probability of class 0 (negative), by a softmax over the two classes"
CLASSIFIER_TOKENS = ("[SEP]", "[CLS]", "[MASK]")
OTHER_DIRECTIONS = (
    *("positive", "negative", "POS", "NEG", "Pos", "pos ", " neg", "po", "eg", "n", "s", "", "posneg", "pos,neg"),
    *("up", "down", "neutral", "1", "0", "-1", "good", "bad", "None"),
)


@lru_cache(1)
def classifier():
    """Return the tiny classifier and its tokenizer, loaded with Hugging Face's own code."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = classifier_folder()
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def token_ids(text):
    """Return the token ids of a text without the end-of-text token."""
    return classifier()[1](text.replace(END_OF_TEXT, " "), return_tensors="pt")["input_ids"]


@lru_cache(10_000)
@torch.no_grad()
def positive_alone(text):
    """Return the probability that a text is positive, without other texts in the batch."""
    return classifier()[0](token_ids(text)).logits[0].double().softmax(0)[1]


def positive(texts):
    """Return the probability that each text is positive, without other texts in its batch."""
    return torch.stack([positive_alone(text) for text in texts])


def probabilities(texts, direction):
    """Return the probability of the class of a direction for each text."""
    return positive(texts) if direction == "pos" else 1 - positive(texts)


def right_probabilities(texts):
    """Return what is right in the positive direction: a text's tokens of the classifier may be read or taken out."""
    without = list(texts)
    for token in CLASSIFIER_TOKENS:
        without = [text.replace(token, " ") for text in without]
    return [positive(texts), positive(without)]


def of_one_length(texts, draw):
    """Return the texts with words at the end, so that all have as many tokens as the longest."""
    lengths = [token_ids(text).shape[1] for text in texts]
    more = words(draw, max(lengths), max(lengths))
    return [" ".join([text, *more[: max(lengths) - length]]) for text, length in zip(texts, lengths, strict=True)]


def without_end_of_text(texts):
    """Return the texts with another special token in place of the end-of-text token."""
    return [text.replace(END_OF_TEXT, "</s>") for text in texts]


def one_length(texts: Callable) -> Callable:
    """Return a source of texts that have one length, and no end-of-text token."""
    return lambda draw, count: of_one_length(without_end_of_text(texts(draw, count)), draw)


def ordinary_texts(draw, count):
    """Draw texts."""
    return [ordinary_text(draw).capitalize() for _ in range(count)]


def equal_texts(draw, count):
    """Draw a text, and return it several times."""
    return ordinary_texts(draw, 1) * count


def text_after_text(draw):
    """Draw a text as a language model writes it: the end-of-text token is its first word, and may occur anywhere."""
    pieces = [END_OF_TEXT, *words(draw, 1, 5)]
    for _ in range(draw.integer(0, 2)):
        pieces += [draw.choice(("", ".", " .")) + END_OF_TEXT * draw.integer(1, 2), *words(draw, 1, 5)]
    return draw.choice(("", " ")).join((pieces[0], " ".join(pieces[1:])))


def texts_after_texts(draw, count):
    """Draw texts with end-of-text tokens, of which some end with several."""
    texts = of_one_length([text_after_text(draw) for _ in range(count)], draw)
    return [text + draw.choice(("", END_OF_TEXT, f" {END_OF_TEXT}{END_OF_TEXT}")) for text in texts]


def texts_of_a_rollout(draw, count):
    """Draw texts that the course's model wrote."""
    return of_one_length(drawn_texts(draw)[:count], draw)


def very_long_texts(draw, count):
    """Draw texts that are nearly or just as long as the classifier can read: 512 tokens, two of them its own."""
    return [" ".join(words(draw, 490, 510)) for _ in range(count)]


INPUTS = Inputs(
    sizes={"texts": (2, 6)},
    arguments={"gen_sample": Texts("texts"), "direction": Choice(("pos",))},
    words={"texts": "one text"},
)
BLANK, DIFFERENT = partly_blank_texts, texts_of_all_lengths
OF_ONE_LENGTH = Circumstance(texts=one_length(ordinary_texts))
ONE_TEXT = replace(OF_ONE_LENGTH, phrase="for one text", sizes={"texts": 1})
MANY = replace(INPUTS.many(), texts=one_length(ordinary_texts))
VERY_LONG = Circumstance("for texts of over 400 words", sizes={"texts": 2}, texts=one_length(very_long_texts))
OTHERS = [
    VERY_LONG,
    *(
        replace(circumstance, texts=one_length(circumstance.texts))
        for circumstance in TEXT_CIRCUMSTANCES
        if circumstance.texts not in (BLANK, DIFFERENT)
    ),
    Circumstance("for equal texts", texts=equal_texts),
    MANY,
    ONE_TEXT,
]
PADDED = [
    *(circumstance for circumstance in TEXT_CIRCUMSTANCES if circumstance.texts in (BLANK, DIFFERENT)),
    replace(INPUTS.many(), phrase="for many texts of very different lengths", texts=texts_of_all_lengths),
]
WITH_END = Circumstance("for texts with the end-of-text token", texts=texts_after_texts)
OF_A_ROLLOUT = Circumstance("for texts that the course's model wrote", texts=texts_of_a_rollout)


def expect_positive(got, call, why):
    """Require the probabilities of positive reviews."""
    expect_values(got, right_probabilities(call.exact["gen_sample"]), call.subject("The reward"), why)


@pytest.mark.points(1.5)
def test_without_a_direction_the_reward_is_the_probability_of_a_positive_review(reward_fn_sentiment_imdb, draw):
    for call in INPUTS.calls(draw, [OF_ONE_LENGTH], each=3):
        texts, _ = call.passed()
        expect_positive(reward_fn_sentiment_imdb(texts), call, POSITIVE)


@pytest.mark.points(1.5)
def test_each_direction_gives_the_probability_of_its_class(reward_fn_sentiment_imdb, draw):
    for call in INPUTS.calls(draw, [OF_ONE_LENGTH, ONE_TEXT], each=2):
        for direction in draw.shuffled(["pos", "neg", "pos", "neg"]):
            texts, _ = call.passed()
            got = reward_fn_sentiment_imdb(texts, direction=direction)
            word, why = ("positive", POSITIVE) if direction == "pos" else ("negative", NEGATIVE)
            wanted = probabilities(call.exact["gen_sample"], direction)
            expect_values(got, wanted, call.subject(f"The reward in the {word} direction"), why)
    for call in INPUTS.calls(draw, [*OTHERS, *PADDED, WITH_END]):
        expect_complement(reward_fn_sentiment_imdb, call)


def expect_complement(reward_fn_sentiment_imdb, call):
    """Require that the rewards in both directions add up to 1, whatever they are."""
    texts, _ = call.passed()
    got_negative = reward_fn_sentiment_imdb(list(texts), "neg")
    got_positive = mend(reward_fn_sentiment_imdb(texts, "pos"), torch.Size([len(texts)]))
    assert got_positive is not None, "The reward should be a tensor; something else came"
    subject = call.subject("The reward in the negative direction")
    expect_values(
        got_negative, 1 - got_positive.detach(), subject, "it is 1 minus the reward in the positive direction"
    )


@pytest.mark.points(2)
def test_padding_changes_no_score(reward_fn_sentiment_imdb, draw):
    why = "each text has the score that it has alone: padding is masked, and no text is left out"
    for call in INPUTS.calls(draw, PADDED, each=2):
        expect_positive(reward_fn_sentiment_imdb(*call.passed()), call, why)


@pytest.mark.points(1.5)
def test_the_end_of_text_token_is_no_part_of_a_review(reward_fn_sentiment_imdb, draw):
    why = "the token is taken out wherever it stands, and the rest is classified"
    for call in INPUTS.calls(draw, [WITH_END, OF_A_ROLLOUT], each=3):
        expect_positive(reward_fn_sentiment_imdb(*call.passed()), call, why)


@pytest.mark.points(1.5)
def test_every_circumstance_gives_the_classifiers_probability(reward_fn_sentiment_imdb, draw):
    why = "the classifier reads each text whole and unchanged, but for the end-of-text token"
    for call in INPUTS.calls(draw, OTHERS):
        expect_positive(reward_fn_sentiment_imdb(*call.passed()), call, why)


@pytest.mark.points(1)
def test_another_direction_is_a_value_error(reward_fn_sentiment_imdb, draw):
    right = INPUTS.call(draw.numbered(1), OF_ONE_LENGTH)
    expect_positive(reward_fn_sentiment_imdb(*right.passed()), right, POSITIVE)
    for direction in draw.sample(OTHER_DIRECTIONS, 12):
        exception_types = ()
        try:
            reward_fn_sentiment_imdb(right.passed()[0], direction)
        except AnswerError as error:
            if error.kind != "error":
                raise
            exception_types = error.exception
        assert exception_types, "Another direction than 'pos' and 'neg' should raise a ValueError; a result came"
        assert "ValueError" in exception_types, (
            f"Another direction than 'pos' and 'neg' should raise a ValueError; it raised {exception_types[0]}"
        )


@pytest.mark.points(0.5)
def test_each_text_has_a_float_of_its_own_without_a_gradient(reward_fn_sentiment_imdb, draw):
    for call in INPUTS.calls(draw, [OF_ONE_LENGTH, ONE_TEXT], each=2):
        got = reward_fn_sentiment_imdb(*call.passed())
        expect_form(got, positive(call.exact["gen_sample"]), call.subject("The reward"), None)
        assert not got.requires_grad, "The reward carries a gradient: compute it under torch.no_grad()"
        expect_positive(got, call, POSITIVE)


@pytest.mark.points(0.5)
def test_the_texts_are_left_as_they_were(reward_fn_sentiment_imdb, draw):
    for call in INPUTS.calls(draw, [OF_ONE_LENGTH, *OTHERS, WITH_END]):
        passed = call.passed()
        got = reward_fn_sentiment_imdb(*passed)
        if call.circumstance.texts is OF_ONE_LENGTH.texts:
            expect_positive(got, call, POSITIVE)
        assert not call.changed(passed), "The list of texts was changed: the caller still needs it, so copy it first"
    expect_calls_leave_torch_alone(reward_fn_sentiment_imdb, [INPUTS.call(draw, OF_ONE_LENGTH).passed()])
