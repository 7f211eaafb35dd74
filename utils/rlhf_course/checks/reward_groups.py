"""Cases of rewards in groups, a group for each prompt, which `group_advantages` and `rloo_advantages` share."""

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import in_float64, other_values, requiring_gradients, sliced
from rlhf_course.checks.core import Answer, Case, normal, refused


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


def explain_groups(advantages: Answer, case: Case) -> str:
    """Return with which rewards an answer compares a completion, if they are not those of its own prompt.

    Args:
        advantages: The learner's function.
        case: The case that is shown, of which nothing is taken.

    Returns: The end of a sentence, or an empty string.
    """
    rewards = normal(6, seed=366)
    before = advantages(rewards.clone(), 2)[0]
    if not bool(before.isfinite()):
        return ""
    others = [
        position
        for position in range(2, 6)
        if not torch.allclose(advantages(rewards + 0.5 * (torch.arange(6) == position), 2)[0], before, atol=1e-5)
    ]
    if not others:
        return ""
    return (
        "with six rewards and group_size = 2, your first advantage changes with the rewards at "
        f"{', '.join(map(str, others))}, but those at 0, 1 are all that its prompt has"
    )


# Calls that raise a ValueError.
_ALONE = "group_size is below 2, and a completion alone has nothing to be compared with"
_INCOMPLETE = "group_size does not divide the number of rewards, so a group is incomplete"
NO_GROUPS = {
    "a group of one": refused(listed_rewards([1.0, 0.0, 2.0], 1), _ALONE),
    "a remainder": refused(listed_rewards([1.0, 0.0, 2.0, 3.0, 0.0, 1.0, 1.0], 3), _INCOMPLETE),
    "a group larger than the batch": refused(listed_rewards([1.0, 0.0, 2.0], 4), _INCOMPLETE),
    "a group of none": refused(listed_rewards([1.0, 0.0, 2.0, 3.0], 0), _ALONE),
}
