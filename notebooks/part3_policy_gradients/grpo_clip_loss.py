"""The clipped loss of each token."""

import torch
from jaxtyping import Float
from torch import Tensor


def grpo_clip_loss(
    logprobs: Float[Tensor, "batch gen"],
    old_logprobs: Float[Tensor, "batch gen"],
    advantages: Float[Tensor, "batch gen"],
    clip_low: float,
    clip_high: float,
) -> Float[Tensor, "batch gen"]:
    """The loss of each token: minus the smaller of ratio * A and clip(ratio, 1 - clip_low, 1 + clip_high) * A.

    The ratio is the probability of the token under the policy, over that under the policy that sampled it. Part 1's
    objective is ascended; this is a loss, which is descended.

    Args:
        logprobs: the policy's log-probability of each token. Gradients flow to them alone.
        old_logprobs: those of the policy that sampled the tokens.
        advantages: the advantage A of each token.
        clip_low: how far the ratio may fall below 1, from 0 to 1.
        clip_high: how far the ratio may rise above 1.

    Returns: one number for each token; what stands at padding is not averaged here, but masked by `aggregate_loss`.

    Source: Schulman et al. 2017, Proximal policy optimization algorithms, eq. 7; with two bounds, Yu et al. 2025, DAPO,
    eq. 10.
    """
    raise NotImplementedError("write this part")
