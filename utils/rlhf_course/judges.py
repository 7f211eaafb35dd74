"""Judge texts as a person would: the gold reward, which in real life nobody has, and a labeller who errs.

The gold reward is fixed before any run. A bare sentiment classifier can be satisfied by repeating one strong word, so
the judge also takes points off where a completion repeats itself.
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_course.errors import CourseError

REPETITION_WEIGHT, LEAST_DISTINCT_SHARE = 10.0, 0.85
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def distinct_share(completion: str) -> float:
    """Return the share of distinct words among a completion's words, in lower case; 1 where there is no word."""
    words = _WORD.findall(completion.lower())
    return len(set(words)) / len(words) if words else 1.0


def sentiment_logits(prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch"]:
    """Return the log-odds that the embedded classifier gives to each prompt with its completion being positive.

    Completions hold no special tokens.
    """
    from rlhf_course.models.sentiment import load_sentiment  # deferred: it loads the classifier's weights

    classifier = load_sentiment()
    return torch.tensor([classifier.logit(prompt + text) for text in completions])


def gold_rewards(prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch"]:
    """Return the gold reward of each completion: its sentiment, less 10 for each unit of repetition.

    Repetition is how far the share of distinct words lies below 0.85.
    """
    shares = torch.tensor([distinct_share(text) for text in completions])
    return sentiment_logits(prompt, completions) - REPETITION_WEIGHT * (LEAST_DISTINCT_SHARE - shares).clamp(min=0)


def simulated_preferences(
    gold_a: Float[Tensor, "pairs"],
    gold_b: Float[Tensor, "pairs"],
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "pairs"]:
    """Return whether a simulated labeller prefers a to b in each pair: with probability sigmoid((a - b) / temperature).

    Raises:
        CourseError: The temperature is not above 0.
    """
    if temperature <= 0:
        raise CourseError(f"temperature takes a number above 0, got {temperature}")
    probability = ((gold_a - gold_b) / temperature).sigmoid()
    return torch.bernoulli(probability, generator=generator).bool()
