"""The loss of direct preference optimisation, which learns a policy from preferences without a reward model."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo_loss(
    policy_chosen_logps: Float[Tensor, "pairs"],
    policy_rejected_logps: Float[Tensor, "pairs"],
    reference_chosen_logps: Float[Tensor, "pairs"],
    reference_rejected_logps: Float[Tensor, "pairs"],
    beta: float,
) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
    """The loss of each pair, -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)), and implicit rewards.

    The log-ratio of a text is log pi(y | x) - log pi_ref(y | x), the policy's minus the reference's. Its implicit
    reward is `beta` times its log-ratio.

    Args:
        policy_chosen_logps: the policy's log-probability of each chosen completion; gradients flow to it.
        policy_rejected_logps: the policy's log-probability of each rejected completion; gradients flow to it.
        reference_chosen_logps: the reference model's log-probability of each chosen completion; no gradient.
        reference_rejected_logps: the reference model's log-probability of each rejected completion; no gradient.
        beta: weight of the log-ratios inside the sigmoid, positive; the larger, the nearer the policy stays to the
            reference.

    Returns: the losses, the implicit rewards of the chosen and those of the rejected completions. The losses and their
    gradients are finite for differences of any size; the rewards carry no gradient.

    Source: Rafailov et al. 2023, Direct preference optimization, eq. 7.
    """
    ### BEGIN SOLUTION
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps.detach())
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps.detach())
    losses = -logsigmoid(chosen_rewards - rejected_rewards)
    return losses, chosen_rewards.detach(), rejected_rewards.detach()
    ### END SOLUTION
