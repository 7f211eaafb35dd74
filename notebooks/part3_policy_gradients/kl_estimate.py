"""Estimates of the KL divergence from the sampled tokens alone."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor


def kl_estimate(
    logprobs: Float[Tensor, "batch gen"],
    ref_logprobs: Float[Tensor, "batch gen"],
    kind: Literal["k1", "k2", "k3"],
) -> Float[Tensor, "batch gen"]:
    """An estimate, at each sampled token, of the KL divergence of the policy from the reference.

    - k1: the log-ratio log policy - log reference;
    - k2: half of its square;
    - k3: exp(d) - d - 1, with d = log reference - log policy.

    Args:
        logprobs: the policy's log-probability of each token, which the policy has sampled. Gradients flow to them.
        ref_logprobs: the reference's log-probability of the same tokens. No gradient reaches them.
        kind: "k1", "k2" or "k3".

    Returns: one number for each token, in nats. Number and gradient are finite for log-ratios of any size, unless the
    estimate itself is too large for the dtype.

    Raises:
        ValueError: kind is another one.

    Source: Schulman 2020, Approximating KL divergence.
    """
    raise NotImplementedError("write this part")
