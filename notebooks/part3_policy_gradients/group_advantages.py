"""Advantages relative to the other completions of the same prompt."""

from jaxtyping import Float
from torch import Tensor


def group_advantages(
    rewards: Float[Tensor, "completions"], group_size: int, eps: float = 1e-4, scale_by_std: bool = True
) -> Float[Tensor, "completions"]:
    """Each completion's reward minus the mean of its group, divided by the group's standard deviation plus eps.

    A group is the completions of one prompt. The groups stand one after the other: the first `group_size` rewards are
    those of the first prompt.

    Args:
        rewards: one reward for each completion.
        group_size: how many completions each prompt has.
        eps: added to the deviation, behind the root; positive.
        scale_by_std: whether to divide; without it, only the mean is subtracted.

    Returns: the advantages, in the order of the rewards; zeros in a group whose rewards are equal. The deviation may
    have Bessel's correction or not.

    Raises:
        ValueError: group_size is below 2, since a completion alone has nothing to be compared with, or it does not
            divide the number of rewards.

    Source: Shao et al. 2024, DeepSeekMath, section 4.1.2; without the division, Liu et al. 2025, Understanding
    R1-Zero-like training, section 3.
    """
    raise NotImplementedError("write this part")
