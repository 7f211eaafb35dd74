"""Generalised advantages of texts of different lengths."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@torch.no_grad()
def compute_gae(
    values: Float[Tensor, "batch gen"],
    rewards: Float[Tensor, "batch gen"],
    mask: Bool[Tensor, "batch gen"],
    gamma: float,
    lam: float,
) -> Float[Tensor, "batch gen"]:
    """The generalised advantage of each generated token: a mean of n-step advantages, weighted by powers of lam.

    With delta_t = r_t + gamma * V_{t+1} - V_t, the advantage is A_t = delta_t + gamma * lam * A_{t+1}. After a text's
    last real token the episode has ended: the value there is 0, and so is the advantage.

    Args:
        values: values[:, t] is V of the state in which token t was chosen.
        rewards: the reward that each token got.
        mask: True at a text's tokens, which come first; False at padding. Nothing at padding has an effect, not even
            NaN. A text may have no token at all.
        gamma: the discount, from 0 to 1.
        lam: the weight of what comes after a token, from 0 to 1; 0 gives one-step advantages.

    Returns: the advantages, without gradient, 0 at padding. No argument is changed.

    Source: Schulman et al. 2015, High-dimensional continuous control using generalized advantage estimation, eq. 16.
    """
    ### BEGIN SOLUTION
    values, rewards = values.masked_fill(~mask, 0), rewards.masked_fill(~mask, 0)
    advantages = torch.zeros_like(values)
    next_value = next_advantage = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        # At padding delta and both successors are 0, so the recursion starts anew at a text's last token.
        next_advantage = delta + gamma * lam * next_advantage
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages
    ### END SOLUTION
