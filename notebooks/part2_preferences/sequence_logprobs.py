"""The log-probability of a whole completion."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


def sequence_logprobs(
    logits: Float[Tensor, "batch seq vocab"],
    input_ids: Int[Tensor, "batch seq"],
    completion_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch"]:
    """The sum, over the tokens of a text's completion, of the log-probability of each given all tokens before it.

    Args:
        logits: a language model's; those at a position predict the token at the next one. Gradients flow to them.
        input_ids: the token ids; those of padding are arbitrary.
        completion_mask: True at the tokens of the completion, False at the prompt and at padding, which stands on
            either side. A token at position 0 never counts, since nothing predicts it.

    Returns: one number for each text, 0 for a text without a completion. Logits that predict no token of a completion
    have no effect, even if they are NaN.

    Source: the log pi(y | x) of Rafailov et al. 2023, Direct preference optimization, eq. 7.
    """
    raise NotImplementedError("write this part")
