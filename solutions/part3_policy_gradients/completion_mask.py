"""Which sampled tokens belong to a completion."""

from jaxtyping import Bool, Int
from torch import Tensor


def completion_mask(completion_ids: Int[Tensor, "batch gen"], eos_token_id: int) -> Bool[Tensor, "batch gen"]:
    """Whether each token belongs to its completion: True up to and with the first end-of-text token.

    Args:
        completion_ids: sampled tokens, without the prompt. What follows a text's first end-of-text token is padding,
            and may be anything, end-of-text tokens included.
        eos_token_id: the id of the end-of-text token.

    Returns: the mask; True everywhere in a text that has no end-of-text token.
    """
    ### BEGIN SOLUTION
    ends = (completion_ids == eos_token_id).int()
    ends_before = ends.cumsum(dim=1) - ends
    return ends_before == 0
    ### END SOLUTION
