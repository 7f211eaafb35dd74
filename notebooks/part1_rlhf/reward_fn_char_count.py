"""The reward of the first runs: how often a character occurs."""

import torch
from jaxtyping import Float
from torch import Tensor


def reward_fn_char_count(generated_sample: list[str], char: str = ".") -> Float[Tensor, "batch"]:
    """How often a character occurs in each text.

    Args:
        generated_sample: the texts, prompt included.
        char: the character to count.

    Returns: the counts, as floats.
    """
    raise NotImplementedError("write this part")
