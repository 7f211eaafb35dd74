"""How likely the policy found the tokens that followed."""

from jaxtyping import Float, Int
from torch import Tensor


def get_logprobs(
    logits: Float[Tensor, "batch seq vocab"],
    tokens: Int[Tensor, "batch seq"],
    prefix_len: int | None = None,
) -> Float[Tensor, "batch gen_len"]:
    """The log-probability that each position gave to the token that followed it, for the tokens after the prefix.

    Args:
        logits: at every position; those at position i are for the token at position i + 1. Gradients flow to them.
        tokens: the token ids.
        prefix_len: how many tokens at the start are not asked about; None means 1, since nothing predicts the first.

    Returns: [batch, seq - prefix_len].
    """
    raise NotImplementedError("write this part")
