"""One-step advantages of the generated tokens."""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def compute_advantages(
    values: Float[Tensor, "minibatch seq"],
    rewards: Float[Tensor, "minibatch"],
    prefix_len: int,
) -> Float[Tensor, "minibatch gen_len"]:
    """How much better each generated token was than the value of the state it was chosen in: A = Q - V.

    Q of a token is the value of the state it leads to; the last token leads to the end, where Q is the reward.
    The token at position i was chosen in the state that ends at position i - 1.

    Args:
        values: V of the state that ends at each position, prefix included.
        rewards: the reward of each whole text.
        prefix_len: how many tokens at the start were given, and not chosen.

    Returns: the advantages, without gradient. Neither argument is changed.
    """
    raise NotImplementedError("write this part")
