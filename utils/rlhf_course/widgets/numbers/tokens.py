"""Compute the gain in reward and the colour of each token of a text."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

# Tokens with at least this surprise, in nats, have the deepest colour: a probability of about 1 in 3000 or less.
FULL_SURPRISE = 8.0


class ScoredToken(NamedTuple):
    """A generated token.

    Attributes:
        text: The text that the token adds.
        gain: The increase of the reward by the token; None if the reward function is not available.
        surprise: Minus the token's log-probability under the reference, in nats; None if that is not available.
    """

    text: str
    gain: float | None = None
    surprise: float | None = None


class ScoredText(NamedTuple):
    """A sample with scored tokens.

    Attributes:
        prompt: The prompt.
        tokens: The generated tokens.
        reward: The reward that the run recorded.
        ref_logprob: The log-probability under the reference that the run recorded; None for a run without one.
    """

    prompt: str
    tokens: list[ScoredToken]
    reward: float
    ref_logprob: float | None

    @property
    def most_surprising(self) -> ScoredToken | None:
        """The token with the largest surprise; None if no surprise is known."""
        known = [(token.surprise, token) for token in self.tokens if token.surprise is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None


def gains(token_texts: Sequence[str], prompt: str, reward_fn: Callable[[list[str]], Any]) -> list[float]:
    """Return how much each token adds to the reward of the text up to it.

    Args:
        token_texts: The texts of the generated tokens.
        prompt: The text before them.
        reward_fn: A function from a list of texts to a reward for each.
    """
    texts = [prompt]
    for text in token_texts:
        texts.append(texts[-1] + text)
    rewards = [float(reward) for reward in reward_fn(texts)]
    return [after - before for before, after in pairwise(rewards)]


def shade(surprise: float) -> float:
    """Return the depth of a token's colour, from 0 (expected) to 1."""
    return min(max(surprise, 0.0) / FULL_SURPRISE, 1.0)


def relative_gains(token_gains: Sequence[float]) -> list[float]:
    """Return gains divided by the largest absolute gain of the text."""
    largest = max((abs(gain) for gain in token_gains), default=0.0)
    return [gain / largest if largest > 1e-9 else 0.0 for gain in token_gains]
