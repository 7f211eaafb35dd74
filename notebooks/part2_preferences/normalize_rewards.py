"""A scale on which rewards of different reward models can be compared."""

from jaxtyping import Float
from torch import Tensor


def normalize_rewards(
    rewards: Float[Tensor, "texts"], reference_rewards: Float[Tensor, "reference_texts"]
) -> Float[Tensor, "texts"]:
    """(rewards - mean) / (deviation + 1e-8), with mean and standard deviation of the reference model's texts.

    So 0 is the mean reward of the reference model's texts, and 1 is one standard deviation above it.

    Args:
        rewards: the rewards to normalise, of any texts; they are not changed.
        reference_rewards: the rewards of texts of the reference model.

    Returns: a new tensor of the shape of `rewards`. The deviation may have Bessel's correction or not.

    Raises:
        ValueError: the largest and the smallest reference reward are equal, as those of a single text are.

    Source: Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences, section 2.
    """
    raise NotImplementedError("write this part")
