"""What each token of a text earned, and how surprising it is to the reference."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# A token of this many nats or more has the deepest colour: about one in 3000.
FULL_SURPRISE = 8.0


class ScoredToken(NamedTuple):
    """One generated token.

    Attributes:
        text: as the tokenizer writes it.
        gain: what it added to the reward of the text before it; None where the reward is not at hand.
        surprise: minus its log-probability under the reference, in nats; None where the reference is not at hand.
    """

    text: str
    gain: float | None = None
    surprise: float | None = None


class ScoredText(NamedTuple):
    """One sample: its prompt, its generated tokens, and what the run recorded of it."""

    prompt: str
    tokens: list[ScoredToken]
    reward: float
    ref_logprob: float

    @property
    def strangest(self) -> ScoredToken | None:
        """The token that the reference expected least."""
        known = [token for token in self.tokens if token.surprise is not None]
        return max(known, key=lambda token: token.surprise, default=None)


def gains(pieces: Sequence[str], prompt: str, reward_fn: Callable[[list[str]], Any]) -> list[float]:
    """How much each piece added to the reward of the text so far.

    Args:
        pieces: the generated tokens' texts.
        prompt: what stands before them.
        reward_fn: from a list of texts to one reward each.
    """
    texts = [prompt]
    for piece in pieces:
        texts.append(texts[-1] + piece)
    rewards = [float(reward) for reward in reward_fn(texts)]
    return [after - before for before, after in zip(rewards, rewards[1:], strict=False)]


def shade(surprise: float) -> float:
    """How deep a token is coloured, from 0 (expected) to 1."""
    return min(max(surprise, 0.0) / FULL_SURPRISE, 1.0)


def strengths(token_gains: Sequence[float]) -> list[float]:
    """Gains on a scale from -1 to 1, on which the text's largest has size 1."""
    largest = max((abs(gain) for gain in token_gains), default=0.0)
    return [gain / largest if largest > 1e-9 else 0.0 for gain in token_gains]
