"""The term that keeps the policy near the pretrained model."""

from jaxtyping import Float
from torch import Tensor


def calc_kl_penalty(
    logits: Float[Tensor, "minibatch gen_len vocab"],
    ref_logits: Float[Tensor, "minibatch gen_len vocab"],
    kl_coef: float,
    gen_len: int,
) -> Float[Tensor, ""]:
    """`kl_coef` times the mean KL divergence of the policy from the reference model, D_KL(policy || reference).

    At each position it is the sum over the vocabulary of p * (log p - log p_ref); the mean is over texts and positions.

    Args:
        logits: the policy's, at the positions that chose the generated tokens; gradients flow to them.
        ref_logits: the reference model's, at the same positions.
        kl_coef: weight of the penalty.
        gen_len: how many positions both have.

    Returns: a scalar, finite for logits of any size.

    Source: Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences, eq. 2, in expectation over the
    next token in place of a sample of it.
    """
    raise NotImplementedError("write this part")
