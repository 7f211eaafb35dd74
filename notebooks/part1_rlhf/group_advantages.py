"""Advantages relative to a group of texts."""

from jaxtyping import Float
from torch import Tensor


def group_advantages(
    rewards: Float[Tensor, "batch"], gen_len: int, eps: float = 1e-5
) -> Float[Tensor, "batch gen_len"]:
    """Each text's reward relative to its group: the same for all of its tokens, with mean 0 and deviation 1.

    Args:
        rewards: the reward of each text of the group.
        gen_len: how many tokens each text has that were generated.
        eps: added to the deviation, which is 0 where all rewards are equal.

    Returns: the advantage of each token.
    """
    raise NotImplementedError("write this part")
