"""Rewards on one scale, whatever the reward function's own."""

from jaxtyping import Float
from torch import Tensor


def normalize_reward(reward: Float[Tensor, "batch"], eps: float = 1e-5) -> Float[Tensor, "batch"]:
    """Shift and scale a batch of rewards to mean 0 and standard deviation 1.

    Args:
        reward: one reward for each text; left as it is.
        eps: keeps the division finite where all rewards are equal: they become 0.

    Returns: the normalised rewards, a new tensor.

    Source: Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences, section 2.
    """
    raise NotImplementedError("write this part")
