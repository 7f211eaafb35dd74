"""A reward that reads: how positive a review sounds to a classifier."""

from typing import Literal

import torch
from jaxtyping import Float
from rlhf_course import load_classifier
from torch import Tensor


@torch.no_grad()
def reward_fn_sentiment_imdb(gen_sample: list[str], direction: Literal["pos", "neg"] = "pos") -> Float[Tensor, "batch"]:
    """The probability that each text is a positive (or a negative) review, under `lvwerra/distilbert-imdb`.

    Class 0 of the classifier is negative, class 1 positive. The end-of-text token is taken out of the texts, and
    padding is masked, so that a text's score does not depend on the texts it is batched with.

    Args:
        gen_sample: the texts.
        direction: the class whose probability is the reward.

    Returns: probabilities, without gradient.

    Raises:
        ValueError: another direction.
    """
    raise NotImplementedError("write this part")
