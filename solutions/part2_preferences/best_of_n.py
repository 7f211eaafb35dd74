"""Best-of-n sampling: sample n completions of a prompt, and keep the one with the highest reward."""

from jaxtyping import Float, Int
from torch import Tensor


def best_of_n(rewards: Float[Tensor, "prompts n"]) -> Int[Tensor, "prompts"]:
    """The index of the completion with the highest reward, for each prompt; the first one of equals.

    Args:
        rewards: the reward of each of a prompt's n completions; none is infinite.

    Returns: one index a prompt, from 0 to n - 1.

    Raises:
        ValueError: a reward is NaN, which is neither higher nor lower than another one.

    Source: Stiennon et al. 2020, Learning to summarize from human feedback, appendix G.3.
    """
    ### BEGIN SOLUTION
    if rewards.isnan().any():
        raise ValueError("a reward is NaN, and no completion can be better or worse than that")
    return rewards.argmax(dim=1)
    ### END SOLUTION
