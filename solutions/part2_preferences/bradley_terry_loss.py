"""The loss that trains a reward model on pairs of texts of which one was preferred."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(
    chosen_rewards: Float[Tensor, "pairs"],
    rejected_rewards: Float[Tensor, "pairs"],
    margin: Float[Tensor, "pairs"] | None = None,
) -> Float[Tensor, ""]:
    """The mean over pairs of -log sigmoid(chosen reward - rejected reward - margin).

    Without a margin it is minus the mean log-probability that the Bradley-Terry model gives to the preferences.

    Args:
        chosen_rewards: the reward of the preferred text of each pair; gradients flow to it.
        rejected_rewards: the reward of the other text of each pair; gradients flow to it.
        margin: for each pair, by how much the chosen reward should exceed the rejected one; None means 0 for all.

    Returns: a scalar; it and its gradients are finite for differences of any size.

    Raises:
        ValueError: there is no pair.

    Source: Bradley & Terry 1952; Stiennon et al. 2020, Learning to summarize from human feedback, section 3.4; for the
    margin Touvron et al. 2023, Llama 2, eq. 2.
    """
    ### BEGIN SOLUTION
    if len(chosen_rewards) == 0:
        raise ValueError("the loss is a mean over pairs, and there is no pair")
    difference = chosen_rewards - rejected_rewards
    if margin is not None:
        difference = difference - margin
    return -logsigmoid(difference).mean()
    ### END SOLUTION
