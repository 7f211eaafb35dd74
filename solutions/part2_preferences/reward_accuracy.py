"""The share of pairs that a reward model ranks as they were labelled."""

from jaxtyping import Float
from torch import Tensor


def reward_accuracy(
    chosen_rewards: Float[Tensor, "pairs"], rejected_rewards: Float[Tensor, "pairs"]
) -> Float[Tensor, ""]:
    """The share of pairs whose chosen text has the higher reward; a pair with equal rewards counts one half.

    Args:
        chosen_rewards: the reward of the preferred text of each pair.
        rejected_rewards: the reward of the other text of each pair.

    Returns: a scalar from 0 to 1, in the dtype of the rewards.

    Raises:
        ValueError: there is no pair.
    """
    ### BEGIN SOLUTION
    if len(chosen_rewards) == 0:
        raise ValueError("the accuracy is a share of the pairs, and there is no pair")
    right = (chosen_rewards > rejected_rewards).to(chosen_rewards.dtype)
    tied = (chosen_rewards == rejected_rewards).to(chosen_rewards.dtype)
    return (right + 0.5 * tied).mean()
    ### END SOLUTION
