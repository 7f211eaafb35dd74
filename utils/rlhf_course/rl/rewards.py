"""Rewards by name."""

import importlib
from functools import partial, reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.special_tokens import END_OF_TEXT, without_special_tokens
from rlhf_course.rl.types import RewardFn

REWARDS = ("periods", "sentiment-embedded", "sentiment-imdb")
# Those of them that can be turned round, and into which directions.
DIRECTED = ("sentiment-embedded", "sentiment-imdb")
DIRECTIONS = ("pos", "neg")


class NamedReward:
    """A reward that a run's record can name; the exercises behind it are looked up when it is called."""

    def __init__(self, name: str, direction: str = "pos") -> None:
        self.name = name
        self.direction = direction

    def __repr__(self) -> str:
        return f"NamedReward({self.name!r}, {self.direction!r})"

    def __call__(self, generated_sample: list[str]) -> Float[Tensor, "batch"]:
        if self.name == "periods":
            return imported_answer("reward_fn_char_count")(generated_sample, ".")
        if self.name == "sentiment-imdb":
            # The exercise itself takes the course's own end-of-text token out; other models have others.
            texts = [without_special_tokens(text, keep=END_OF_TEXT) for text in generated_sample]
            return imported_answer("reward_fn_sentiment_imdb")(texts, self.direction)
        return embedded_sentiment(generated_sample, self.direction)


def named_reward(name: str, direction: str = "pos") -> RewardFn:
    """The reward function of a name.

    Args:
        name: "periods", "sentiment-embedded", "sentiment-imdb", or "package.module:function".
        direction: "pos" or "neg": which sentiment is rewarded.

    Raises:
        CourseError: no such reward, direction, module or function.
    """
    if direction not in DIRECTIONS:
        raise CourseError(f"direction takes {' or '.join(DIRECTIONS)}, got {direction!r}")
    if name in REWARDS:
        return NamedReward(name, direction)
    module, colon, function = name.partition(":")
    if not colon:
        raise CourseError(f"reward takes {', '.join(REWARDS)} or package.module:function, got {name!r}")
    try:
        found = reduce(getattr, function.split("."), importlib.import_module(module))
    except Exception as error:  # whatever the module raises as it is imported
        raise CourseError(f"reward {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise CourseError(f"reward {name!r} is no function")
    return found


def describe_reward(reward_fn: RewardFn) -> dict[str, str]:
    """The reward as a run's record keeps it: a name that `named_reward` takes where there is one, and the direction."""
    if isinstance(reward_fn, NamedReward):
        return {"name": reward_fn.name, "direction": reward_fn.direction}
    return {"name": _name_of(reward_fn), "direction": "pos"}


def _name_of(reward_fn: Any) -> str:
    """The module and name of a function, of a method or of an object's class; a partial's arguments are part of its name."""
    if isinstance(reward_fn, partial):
        given = [*map(repr, reward_fn.args), *(f"{key}={value!r}" for key, value in reward_fn.keywords.items())]
        return f"{_name_of(reward_fn.func)}({', '.join(given)})"
    named = reward_fn if hasattr(reward_fn, "__qualname__") else type(reward_fn)
    return f"{named.__module__}:{named.__qualname__}"


def embedded_sentiment(generated_sample: list[str], direction: str = "pos") -> Float[Tensor, "batch"]:
    """Probability of a positive (or negative) review, by the small classifier that comes with the course.

    Args:
        generated_sample: texts; special tokens in them are not part of a review.
        direction: "pos" or "neg".
    """
    from rlhf_course.models.sentiment import load_sentiment

    texts = [without_special_tokens(text) for text in generated_sample]
    positive = load_sentiment().positive_probability(texts)
    return positive if direction == "pos" else 1 - positive


def check_reward(reward: Any, batch_size: int) -> Float[Tensor, "batch"]:
    """The reward as it came, once it is known to be one.

    Raises:
        CourseError: no tensor, another shape, no float, or not finite.
    """
    wanted = f"a float tensor of shape [{batch_size}], one reward for each text"
    if not isinstance(reward, Tensor):
        got = "None" if reward is None else f"a {type(reward).__name__}"
        raise CourseError(f"reward_fn returned {got}, should return {wanted}")
    if tuple(reward.shape) != (batch_size,):
        raise CourseError(f"reward_fn returned shape {list(reward.shape)}, should return {wanted}")
    if not reward.is_floating_point():
        raise CourseError(f"reward_fn returned {reward.dtype}, should return {wanted} (add .float())")
    if not torch.isfinite(reward).all():
        bad = int((~torch.isfinite(reward)).nonzero()[0])
        raise CourseError(f"reward_fn returned {reward[bad].item()} for text {bad}: every reward should be finite")
    return reward
