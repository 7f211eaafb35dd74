"""The columns of the advantage picture: what stands under each token of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # torch is there when a rollout is
    from rlhf_course.rl.memory import ReplayMemory


class Column(NamedTuple):
    """One token.

    Attributes:
        token: its text.
        state_value: what the critic says of the state that ends with it.
        value: V of the state it was chosen in; None for the prefix.
        q: Q of choosing it; None for the prefix.
        reward: what was paid for it.
    """

    token: str
    state_value: float
    value: float | None = None
    q: float | None = None
    reward: float = 0.0

    @property
    def advantage(self) -> float | None:
        """How much better the token was than expected."""
        return None if self.value is None else self.q - self.value


class Episode(NamedTuple):
    """A text whose tokens could all have been chosen, but for the first.

    Attributes:
        tokens: the text.
        state_values: the critic's value of the state that ends at each position.
        values, qs: V and Q of each token from position `first` on.
        reward: of the whole text.
        first: the shortest prefix that these numbers allow.
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
    """The columns of a text whose first `prefix_len` tokens were given.

    Raises:
        ValueError: a prefix that is too short for the numbers at hand, or leaves no token to be chosen.
    """
    length = len(episode.tokens)
    if not episode.first <= prefix_len < length:
        raise ValueError(f"prefix_len takes {episode.first} to {length - 1} here, got {prefix_len}")
    made = [Column(*pair) for pair in zip(episode.tokens, episode.state_values, strict=True)]
    for position in range(prefix_len, length):
        paid = episode.reward if position == length - 1 else 0.0
        chosen = position - episode.first
        made[position] = made[position]._replace(value=episode.values[chosen], q=episode.qs[chosen], reward=paid)
    return made


def total(made: Sequence[Column]) -> float:
    """The sum of all advantages: the reward minus the value of the prefix."""
    return sum(column.advantage for column in made if column.advantage is not None)


def episode_of(memory: "ReplayMemory", tokens: Sequence[str], row: int = 0) -> Episode:
    """One text of a real rollout. Its advantages are those that the learner's code gave the memory.

    Args:
        memory: what the rollout left.
        tokens: the text of each token of the row.
        row: which of the rollout's texts.
    """
    advantages, qs = memory.advantages[row].tolist(), memory.returns[row].tolist()
    return Episode(
        tokens=tokens,
        state_values=memory.values[row].tolist(),
        values=[q - advantage for q, advantage in zip(qs, advantages, strict=True)],
        qs=qs,
        reward=qs[-1],
        first=len(tokens) - len(qs),
    )
