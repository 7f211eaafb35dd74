"""Define the rewards, find them by name, and check what they return."""

import importlib
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.special_tokens import END_OF_TEXT, without_special_tokens
from rlhf_course.rl.types import RewardFn

REWARDS = ("periods", "sentiment-embedded", "sentiment-imdb")
# The rewards that have a direction, and the directions.
DIRECTED = ("sentiment-embedded", "sentiment-imdb")
DIRECTIONS = ("pos", "neg")
# What the name of a trained reward model begins with; the folder of its run follows.
REWARD_MODEL = "reward-model:"


class NamedReward:
    """A reward that `config.json` stores by name.

    Attributes:
        name: The name by which `named_reward` finds it.
        direction: The sentiment that is rewarded.
        imported: The function of that name; None where an exercise computes the reward, which is imported when called.
    """

    def __init__(self, name: str, direction: str = "pos", imported: RewardFn | None = None) -> None:
        self.name = name
        self.direction = direction
        self.imported = imported

    def metrics(self, samples: list[str]) -> dict[str, float]:
        """Return what a run records of a batch of texts besides the reward, by name; most rewards record nothing."""
        measure = getattr(self.imported, "metrics", None)
        return measure(samples) if callable(measure) else {}

    def __repr__(self) -> str:
        return f"NamedReward({self.name!r}, {self.direction!r})"

    def __call__(self, generated_sample: list[str]) -> Float[Tensor, "batch"]:
        if self.imported is not None:
            return self.imported(generated_sample)
        if self.name == "periods":
            return imported_answer("reward_fn_char_count")(generated_sample, ".")
        if self.name == "sentiment-imdb":
            # The exercise removes the end-of-text token itself; the special tokens of other models are removed here.
            texts = [without_special_tokens(text, keep=END_OF_TEXT) for text in generated_sample]
            return imported_answer("reward_fn_sentiment_imdb")(texts, self.direction)
        return embedded_sentiment(generated_sample, self.direction)


def exercises_of_reward(reward_fn: Any) -> tuple[str, ...]:
    """Return the exercises whose answers compute a reward, besides those that every run needs."""
    name = str(getattr(reward_fn, "name", ""))
    if name == "sentiment-imdb":
        return ("reward_fn_sentiment_imdb",)
    return ("RewardModel",) if name.startswith(REWARD_MODEL) else ()


def named_reward(name: str, direction: str = "pos") -> RewardFn:
    """Return the reward function of a name.

    Args:
        name: "periods", "sentiment-embedded", "sentiment-imdb", "reward-model:FOLDER" with the run of a reward model,
            or "package.module:function".
        direction: The sentiment that is rewarded, "pos" or "neg".

    Raises:
        CourseError: There is no such reward, direction, module or function.
    """
    if direction not in DIRECTIONS:
        raise CourseError(f"direction takes {' or '.join(DIRECTIONS)}, got {direction!r}")
    if name in REWARDS:
        return NamedReward(name, direction)
    if name.startswith(REWARD_MODEL):
        from rlhf_course.rl.preferences.reward_model import LearnedReward  # deferred: it imports this module's users

        folder = Path(name.removeprefix(REWARD_MODEL)).expanduser().resolve()
        return NamedReward(f"{REWARD_MODEL}{folder}", direction, LearnedReward(folder))
    module, colon, function = name.partition(":")
    if not colon:
        raise CourseError(
            f"reward takes {', '.join(REWARDS)}, {REWARD_MODEL}FOLDER or package.module:function, got {name!r}"
        )
    try:
        reward_fn = reduce(getattr, function.split("."), importlib.import_module(module))
    except Exception as error:  # importing a module may raise anything
        raise CourseError(f"reward {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(reward_fn):
        raise CourseError(f"reward {name!r} is a {type(reward_fn).__name__}, should be a function")
    # A lambda, a partial or an object does not know the name by which a resumed run finds it again.
    return reward_fn if _name_of(reward_fn) == name else NamedReward(name, direction, reward_fn)


def describe_reward(reward_fn: RewardFn) -> dict[str, str]:
    """Return the name and direction of a reward for `config.json`; `named_reward` finds the reward by them."""
    if isinstance(reward_fn, NamedReward):
        return {"name": reward_fn.name, "direction": reward_fn.direction}
    return {"name": _name_of(reward_fn), "direction": "pos"}


def _name_of(reward_fn: Any) -> str:
    """Return module and name of a function or of an object's class; a partial's name includes its arguments."""
    if isinstance(reward_fn, partial):
        arguments = [*map(repr, reward_fn.args), *(f"{key}={value!r}" for key, value in reward_fn.keywords.items())]
        return f"{_name_of(reward_fn.func)}({', '.join(arguments)})"
    named = reward_fn if hasattr(reward_fn, "__qualname__") else type(reward_fn)
    return f"{named.__module__}:{named.__qualname__}"


def embedded_sentiment(generated_sample: list[str], direction: str = "pos") -> Float[Tensor, "batch"]:
    """Return the probability of a positive (or negative) review, under the small classifier that ships with the course.

    Args:
        generated_sample: Texts; their special tokens are removed before they are classified.
        direction: "pos" or "neg".
    """
    from rlhf_course.models.sentiment import load_sentiment  # deferred: only this reward needs the classifier

    texts = [without_special_tokens(text) for text in generated_sample]
    positive = load_sentiment().positive_probability(texts)
    return positive if direction == "pos" else 1 - positive


def check_reward(reward: Any, batch_size: int) -> Float[Tensor, "batch"]:
    """Return what a reward function returned, after checking it.

    Raises:
        CourseError: It is not a tensor, or it has another shape, another dtype or a value that is not finite.
    """
    expected = f"a float tensor of shape [{batch_size}], one reward for each text"
    if not isinstance(reward, Tensor):
        got = "None" if reward is None else f"a {type(reward).__name__}"
        raise CourseError(f"reward_fn returned {got}, should return {expected}")
    if tuple(reward.shape) != (batch_size,):
        raise CourseError(f"reward_fn returned shape {list(reward.shape)}, should return {expected}")
    if not reward.is_floating_point():
        raise CourseError(f"reward_fn returned {reward.dtype}, should return {expected} (add .float())")
    if not torch.isfinite(reward).all():
        index = int((~torch.isfinite(reward)).nonzero()[0])
        raise CourseError(f"reward_fn returned {reward[index].item()} for text {index}: every reward should be finite")
    return reward
