"""Advantages relative to the mean of the others."""

from jaxtyping import Float
from torch import Tensor


def rloo_advantages(rewards: Float[Tensor, "completions"], group_size: int) -> Float[Tensor, "completions"]:
    """Each completion's reward minus the mean reward of the *other* completions of its prompt.

    The baseline does not depend on the completion itself, so the gradient's expectation is the same as without one.

    Args:
        rewards: one reward for each completion; the completions of a prompt stand together, as in `group_advantages`.
        group_size: how many completions each prompt has.

    Returns: the advantages.

    Raises:
        ValueError: group_size is below 2, since there are no others then, or it does not divide the number of rewards.

    Source: Ahmadian et al. 2024, Back to basics: revisiting REINFORCE-style optimization, section 2.
    """
    ### BEGIN SOLUTION
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError(f"group_size takes a divisor of {len(rewards)} rewards of at least 2, got {group_size}")
    groups = rewards.reshape(-1, group_size)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).flatten()
    ### END SOLUTION
