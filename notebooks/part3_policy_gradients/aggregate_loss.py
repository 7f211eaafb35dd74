"""One number from the losses of tokens, in texts of different lengths."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor


def aggregate_loss(
    token_loss: Float[Tensor, "batch gen"],
    mask: Bool[Tensor, "batch gen"],
    kind: Literal["sequence_mean", "token_mean", "constant"],
    max_length: int | None = None,
) -> Float[Tensor, ""]:
    """The loss of a batch, in which the weight of a token depends on the kind.

    - "sequence_mean": the mean over texts of each text's mean (GRPO);
    - "token_mean": the mean over all real tokens of the batch (DAPO, which takes it over each group);
    - "constant": the sum over all real tokens, divided by batch * max_length (Dr. GRPO).

    Args:
        token_loss: the loss of each token. Gradients flow to real tokens; what stands at padding, NaN too, counts for
            nothing.
        mask: True at real tokens; every text has at least one.
        kind: one of the three.
        max_length: the number of tokens that a text may have; needed for "constant", and refused for the others.

    Returns: a scalar.

    Raises:
        ValueError: kind is another one, max_length is missing or given where it has no meaning, or a text has no real
            token.

    Source: Shao et al. 2024, eq. 3; Yu et al. 2025, DAPO, section 3.3; Liu et al. 2025, section 3.1.
    """
    raise NotImplementedError("write this part")
