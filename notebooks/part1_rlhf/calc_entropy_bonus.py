"""The term that keeps the policy exploring."""

from jaxtyping import Float
from torch import Tensor


def calc_entropy_bonus(
    logits: Float[Tensor, "minibatch gen_len vocab"],
    ent_coef: float,
    gen_len: int,
) -> Float[Tensor, ""]:
    """`ent_coef` times the mean entropy of the policy's next-token distributions.

    At each position it is minus the sum over the vocabulary of p * log p. The mean is over texts and positions.
    The objective is maximised, so that the bonus is added to it and is never negative.

    Args:
        logits: the policy's, at the positions that chose the generated tokens; gradients flow to them.
        ent_coef: weight of the bonus.
        gen_len: how many positions there are.

    Returns: a scalar, finite for logits of any size.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, eq. 9 (S).
    """
    raise NotImplementedError("write this part")
