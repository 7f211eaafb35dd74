"""Known mistakes of `reward_fn_sentiment_imdb`."""

import torch

from rlhf_course import load_classifier


def _logits(texts, masked=True, cleaned=True):
    model, tokenizer = load_classifier()
    texts = [text.replace("<|endoftext|>", " ") for text in texts] if cleaned else texts
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    mask = {"attention_mask": batch["attention_mask"]} if masked else {}
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], **mask).logits


def _column(direction):
    if direction not in ("pos", "neg"):
        raise ValueError(direction)
    return 1 if direction == "pos" else 0


def no_attention_mask(gen_sample, direction="pos"):
    """A text's score changes with the texts beside it: the padding is read as words. Hand the model the attention mask."""
    column = _column(direction)
    return _logits(gen_sample, masked=False).softmax(-1)[:, column]


def classes_swapped(gen_sample, direction="pos"):
    """The classes are swapped: class 0 is negative, class 1 is positive."""
    column = 1 - _column(direction)
    return _logits(gen_sample).softmax(-1)[:, column]


def raw_logits(gen_sample, direction="pos"):
    """You return logits; a softmax over the two classes makes probabilities of them."""
    column = _column(direction)
    return _logits(gen_sample)[:, column]


def sigmoid(gen_sample, direction="pos"):
    """You take the sigmoid of one logit; the classifier has two, and a softmax over both gives the probability."""
    column = _column(direction)
    return _logits(gen_sample)[:, column].sigmoid()


def log_probability(gen_sample, direction="pos"):
    """You return log-probabilities; the reward is the probability."""
    column = _column(direction)
    return _logits(gen_sample).log_softmax(-1)[:, column]


def wrong_dimension(gen_sample, direction="pos"):
    """The softmax runs over the texts (dim=0); it runs over the classes, the last dimension."""
    column = _column(direction)
    return _logits(gen_sample).softmax(0)[:, column]


def any_direction(gen_sample, direction="pos"):
    """Another direction than 'pos' or 'neg' is taken as 'neg'; it should raise a ValueError."""
    return _logits(gen_sample).softmax(-1)[:, 1 if direction == "pos" else 0]


def direction_ignored(gen_sample, direction="pos"):
    """`direction` has no effect: 'neg' asks for the probability of class 0."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)[:, 1]


def minus_positive(gen_sample, direction="pos"):
    """For 'neg' you return minus the positive probability; wanted is the negative class's own, 1 minus it."""
    sign = 1 if _column(direction) else -1
    return sign * _logits(gen_sample).softmax(-1)[:, 1]


def hard_labels(gen_sample, direction="pos"):
    """You return the winning class, 0 or 1; its probability is a finer reward."""
    return (_logits(gen_sample).argmax(-1) == _column(direction)).float()


def end_of_text_kept(gen_sample, direction="pos"):
    """'<|endoftext|>' is read as a part of the review: take it out of the texts first."""
    column = _column(direction)
    return _logits(gen_sample, cleaned=False).softmax(-1)[:, column]


def both_classes(gen_sample, direction="pos"):
    """You return both classes' probabilities; the reward is one number for each text."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)


def plain_list(gen_sample, direction="pos"):
    """You return a Python list; a reward is a float tensor."""
    column = _column(direction)
    return _logits(gen_sample).softmax(-1)[:, column].tolist()
