"""Wrong answers to `reward_fn_sentiment_imdb`."""

import torch

from rlhf_course import load_classifier


def _probabilities(texts):
    model, tokenizer = load_classifier()
    batch = tokenizer([text.replace("<|endoftext|>", " ") for text in texts], padding=True, return_tensors="pt").to(
        model.device
    )
    with torch.no_grad():
        return model(**batch).logits.softmax(-1)


def _refuse(direction):
    if direction not in ("pos", "neg"):
        raise ValueError(direction)


def negative_by_default(gen_sample, direction="neg"):
    """The default direction is the other one."""
    _refuse(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")]


def squeezed(gen_sample, direction="pos"):
    """A batch of one loses its dimension."""
    _refuse(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")].squeeze()


def another_error(gen_sample, direction="pos"):
    """Another direction raises, but no ValueError."""
    return _probabilities(gen_sample)[:, {"neg": 0, "pos": 1}[direction]]


def margin(gen_sample, direction="pos"):
    """It is how much likelier the class is than the other."""
    _refuse(direction)
    probabilities = _probabilities(gen_sample)
    sign = 1 if direction == "pos" else -1
    return sign * (probabilities[:, 1] - probabilities[:, 0])


def mean_of_the_batch(gen_sample, direction="pos"):
    """Every text has the batch's mean probability."""
    _refuse(direction)
    chosen = _probabilities(gen_sample)[:, int(direction == "pos")]
    return chosen.mean().expand_as(chosen)


def carries_a_gradient(gen_sample, direction="pos"):
    """The reward carries a gradient to the classifier."""
    _refuse(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")].clone().requires_grad_(True)


def out_of_order(gen_sample, direction="pos"):
    """The texts are sorted by length, and their scores come in that order."""
    _refuse(direction)
    return _probabilities(sorted(gen_sample, key=len, reverse=True))[:, int(direction == "pos")]
