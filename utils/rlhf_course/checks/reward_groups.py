"""Cases of rewards in groups, a group for each prompt, which `group_advantages` and `rloo_advantages` share."""

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import in_float64, other_values, requiring_gradients, sliced
from rlhf_course.checks.core import Case, normal


def random_rewards(rewards: Tensor, group_size: int, **others: float) -> Case:
    """Return a case whose description holds the number of rewards; `others` are further arguments."""
    return _case(f"rewards of shape [{len(rewards)}]", rewards, group_size, others)


def listed_rewards(rewards: list[float], group_size: int, **others: float) -> Case:
    """Return a case whose description lists the rewards; `others` are further arguments."""
    return _case(f"rewards = {rewards}", torch.tensor(rewards), group_size, others)


def _case(words: str, rewards: Tensor, group_size: int, others: dict[str, float]) -> Case:
    named = "".join(f", {name} = {value}" for name, value in others.items())
    return Case(f"{words}, group_size = {group_size}{named}", {"rewards": rewards, "group_size": group_size, **others})


_FOUR_PROMPTS = random_rewards(normal(12, seed=361) + 0.5, 3)
_LONG_GROUPS = random_rewards(2 * normal(10, seed=362) - 1, 5)
CASES_OF_GROUPS = {
    "two prompts": listed_rewards([1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 4),
    "four prompts": _FOUR_PROMPTS,
    "long groups": _LONG_GROUPS,
    "groups of two": listed_rewards([3.0, 1.0, -2.0, 4.0, 0.5, 0.75], 2),
    "one prompt": listed_rewards([1.0, 2.0, 4.0, 5.0], 4),
    "as many prompts as completions": random_rewards(normal(9, seed=363), 3),
    "slices": sliced(_FOUR_PROMPTS),
    "float64": in_float64(_LONG_GROUPS),
    "other values": other_values(_FOUR_PROMPTS),
    "with gradients": requiring_gradients(_LONG_GROUPS),
}
# Calls that raise a ValueError.
NO_GROUPS = {
    "a group of one": listed_rewards([1.0, 0.0, 2.0], 1),
    "a remainder": listed_rewards([1.0, 0.0, 2.0, 3.0, 0.0, 1.0, 1.0], 3),
    "a group larger than the batch": listed_rewards([1.0, 0.0, 2.0], 4),
    "a group of none": listed_rewards([1.0, 0.0, 2.0, 3.0], 0),
}
