"""Generalised advantages of the generated tokens."""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def gae(
    values: Float[Tensor, "minibatch seq"],
    rewards: Float[Tensor, "minibatch"],
    prefix_len: int,
    lam: float = 0.95,
) -> Float[Tensor, "minibatch gen_len"]:
    """Generalised advantages: the one-step advantages, each plus lam times the generalised one of the next token.

    Args:
        values: V of the state that ends at each position, prefix included.
        rewards: the reward of each whole text.
        prefix_len: how many tokens at the start were given, and not chosen.
        lam: the weight of what comes after a token; 0 gives the one-step advantages.

    Returns: the advantages, without gradient. Neither argument is changed.
    """
    raise NotImplementedError("write this part")
