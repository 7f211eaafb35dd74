"""An estimate of the KL divergence from the sampled tokens alone."""

from jaxtyping import Float
from torch import Tensor


def k3_estimate(
    logprobs: Float[Tensor, "batch gen_len"], ref_logprobs: Float[Tensor, "batch gen_len"]
) -> Float[Tensor, "batch gen_len"]:
    """The estimate k3 of the KL divergence of the policy from the reference, for each sampled token.

    Args:
        logprobs: the policy's log-probability of each token, which the policy has sampled.
        ref_logprobs: the reference's log-probability of the same tokens.

    Returns: the estimate. Gradients flow to logprobs.
    """
    raise NotImplementedError("write this part")
