"""Compute the columns of the advantage picture, one for each token of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # it imports torch, which is loaded already if there is a rollout
    from rlhf_course.rl.memory import ReplayMemory


class Column(NamedTuple):
    """A token and its numbers.

    Attributes:
        token: The token's text.
        state_value: The critic's value of the state that ends with the token.
        value: V of the state in which the token was chosen; None for the prefix.
        q: Q of choosing the token; None for the prefix.
        reward: The reward for choosing the token.
    """

    token: str
    state_value: float
    value: float | None = None
    q: float | None = None
    reward: float = 0.0

    @property
    def advantage(self) -> float | None:
        """Q - V, or None for the prefix."""
        return None if self.value is None or self.q is None else self.q - self.value


class Episode(NamedTuple):
    """A text with the values from which its advantages are computed.

    Attributes:
        tokens: The texts of the tokens.
        state_values: The critic's value of the state that ends at each position.
        values: V of each token from position `first` on.
        qs: Q of each token from position `first` on.
        reward: The reward of the whole text.
        first: The length of the shortest prefix for which `values` and `qs` suffice.
    """

    tokens: Sequence[str]
    state_values: Sequence[float]
    values: Sequence[float]
    qs: Sequence[float]
    reward: float
    first: int = 1


# The five-token text of the notebooks.
EXAMPLE = Episode(
    tokens=("<bos>", "This", " is", " fun", "."),
    state_values=(0.1, 0.2, 0.5, 0.4, 0.9),
    values=(0.1, 0.2, 0.5, 0.4),
    qs=(0.2, 0.5, 0.4, 1.0),
    reward=1.0,
)


def columns(episode: Episode, prefix_len: int) -> list[Column]:
    """Return the columns of a text whose first `prefix_len` tokens are the prompt.

    Raises:
        ValueError: The prefix is shorter than `episode.first`, or leaves no token to be chosen.
    """
    length = len(episode.tokens)
    if not episode.first <= prefix_len < length:
        raise ValueError(f"prefix_len takes {episode.first} to {length - 1} here, got {prefix_len}")
    table = [Column(*pair) for pair in zip(episode.tokens, episode.state_values, strict=True)]
    for position in range(prefix_len, length):
        reward = episode.reward if position == length - 1 else 0.0
        index = position - episode.first
        table[position] = table[position]._replace(value=episode.values[index], q=episode.qs[index], reward=reward)
    return table


def total_advantage(table: Sequence[Column]) -> float:
    """Return the sum of all advantages, which is the reward minus the value of the prefix."""
    return sum(column.advantage for column in table if column.advantage is not None)


def episode_from_memory(memory: "ReplayMemory", tokens: Sequence[str], row: int = 0) -> Episode:
    """Return a text of a rollout, with the advantages that the learner's code computed.

    Args:
        memory: The rollout's memory, with values.
        tokens: The text of each token of the row.
        row: The index of the text in the rollout.
    """
    assert memory.values is not None and memory.returns is not None, "the policy has a value head"
    advantages, qs = memory.advantages[row].tolist(), memory.returns[row].tolist()
    return Episode(
        tokens=tokens,
        state_values=memory.values[row].tolist(),
        values=[q - advantage for q, advantage in zip(qs, advantages, strict=True)],
        qs=qs,
        reward=qs[-1],
        first=len(tokens) - len(qs),
    )
