"""Self-check of `reward_fn_sentiment_imdb`, with a tiny classifier in place of the real one."""

from collections.abc import Mapping
from typing import Any

from rlhf_course.checks.circumstances import variations
from rlhf_course.checks.core import Answer, Case, Check, Observation, observe_call, refused
from rlhf_course.checks.tiny import on_the_cpu, tiny_classifier

HINTS = (
    "The classifier computes two logits for each text: one for a negative review (class 0), one for a positive review "
    "(class 1). The reward is a probability: what turns logits into probabilities, and over which dimension?",
    "`load_classifier()` returns model and tokenizer. The tokenizer turns a list of texts into `input_ids` and "
    "`attention_mask`, both of shape [batch, longest]; the model turns these into logits of shape [batch, 2].",
    "First raise a ValueError for any other direction. Replace '<|endoftext|>' in each text by a space. Tokenize with "
    "padding=True, truncation=True (the classifier reads 512 tokens at most) and return_tensors='pt', and move the "
    "tensors to the model's device. Pass ids and attention mask to the model, take the softmax of its logits over the "
    "last dimension, and return the column of the direction.",
)

_TEXTS = ["this film was good", "bad", "a dull story and never the end", ""]


def _observe(reward_fn_sentiment_imdb: Answer, inputs: Mapping[str, Any]) -> Observation:
    with on_the_cpu(), tiny_classifier():
        observation = observe_call(reward_fn_sentiment_imdb, inputs)
        result = reward_fn_sentiment_imdb(list(inputs["gen_sample"]), *list(inputs.values())[1:])
        return {**observation, "carries a gradient": bool(getattr(result, "requires_grad", False))}


_TEXTS_OF_ALL_KINDS = [
    "“good” film…",
    "“good” film…",
    "a dull story\nand never good\n",
    "THIS film, was bad!",
    "this film was good and the end was never dull " * 5,
    "bad <|endoftext|> story <|endoftext|> the end",
    "   ",
]
_TWO = "the directions are 'pos' and 'neg'"
CASES = {
    "default": Case(f"{_TEXTS}", {"gen_sample": _TEXTS}),
    "positive": Case(
        "['this story', 'bad film'], direction='pos'", {"gen_sample": ["this story", "bad film"], "direction": "pos"}
    ),
    "negative": Case(f"{_TEXTS[:3]}, direction='neg'", {"gen_sample": _TEXTS[:3], "direction": "neg"}),
    "one text": Case("['was this good']", {"gen_sample": ["was this good"]}),
    "end of text": Case(
        "['<|endoftext|>this film was good', 'bad story <|endoftext|>']",
        {"gen_sample": ["<|endoftext|>this film was good", "bad story <|endoftext|>"]},
    ),
    "another direction": refused(Case("['good'], direction='up'", {"gen_sample": ["good"], "direction": "up"}), _TWO),
}
CASES |= {
    "all kinds": Case(
        "texts that are equal, long, blank or of several lines, with punctuation and special tokens",
        {"gen_sample": _TEXTS_OF_ALL_KINDS},
    ),
    "direction in capitals": refused(
        Case("['good'], direction='POS'", {"gen_sample": ["good"], "direction": "POS"}), _TWO
    ),
    "no direction": refused(Case("['good'], direction=''", {"gen_sample": ["good"], "direction": ""}), _TWO),
}
CHECK = Check("reward_fn_sentiment_imdb", CASES, _observe, variations=variations(CASES["positive"], direction="neg"))


def test_the_reward_is_the_probability_of_a_positive_review_whatever_the_padding(
    reward_fn_sentiment_imdb: Answer,
) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "default")


def test_the_positive_direction_can_be_named(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "positive")


def test_the_negative_direction_gives_the_other_class(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "negative")


def test_one_text_is_a_batch_too(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "one text")


def test_the_end_of_text_token_is_no_part_of_a_review(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "end of text")


def test_another_direction_is_refused(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "another direction")


def test_texts_of_all_kinds_are_read_whole_and_unchanged(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "all kinds")


def test_a_direction_in_capitals_is_refused(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "direction in capitals")


def test_an_empty_direction_is_refused(reward_fn_sentiment_imdb: Answer) -> None:
    CHECK.require(reward_fn_sentiment_imdb, "no direction")
