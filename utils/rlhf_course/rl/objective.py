"""Compute the two terms of PPO's objective that learners are given: value loss and clipped surrogate."""

from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.recording import record_metrics


def calc_value_function_loss(
    values: Float[Tensor, "minibatch gen_len"],
    mb_returns: Float[Tensor, "minibatch gen_len"],
    vf_coef: float,
    gen_len: int,
) -> Float[Tensor, ""]:
    """Return half the mean squared error of the values, times `vf_coef`.

    Args:
        values: Values of the states before the generated tokens, from the policy that is being trained.
        mb_returns: Targets of the values.
        vf_coef: Weight of this loss in the objective.
        gen_len: The number of columns that both must have.

    Raises:
        CourseError: The tensors have another number of columns, or different shapes.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, eq. 9 (L^VF).
    """
    _check_columns("values", values, gen_len)
    _check_same("mb_returns", mb_returns, "values", values)
    loss = 0.5 * vf_coef * (values - mb_returns).pow(2).mean()
    record_metrics(value_loss=loss, mean_value=values.mean())
    return loss


def calc_clipped_surrogate_objective(
    logprobs: Float[Tensor, "minibatch gen_len"],
    mb_logprobs: Float[Tensor, "minibatch gen_len"],
    mb_advantages: Float[Tensor, "minibatch gen_len"],
    clip_coef: float,
    gen_len: int,
    eps: float = 1e-8,
) -> Float[Tensor, ""]:
    """Return PPO's clipped objective, with advantages normalised over the minibatch.

    Args:
        logprobs: Log-probabilities of the generated tokens under the policy that is being trained.
        mb_logprobs: The same under the policy that sampled them.
        mb_advantages: Advantages of the generated tokens.
        clip_coef: The ratio is clipped to 1 - clip_coef and 1 + clip_coef; beyond, its gradient is 0.
        gen_len: The number of columns that each must have.
        eps: Number that is added to the standard deviation of the advantages.

    Raises:
        CourseError: The tensors have another number of columns or different shapes, or there is a single advantage,
            which has no standard deviation.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, eq. 7 (L^CLIP).
    """
    _check_columns("logprobs", logprobs, gen_len)
    _check_same("mb_logprobs", mb_logprobs, "logprobs", logprobs)
    _check_same("mb_advantages", mb_advantages, "logprobs", logprobs)
    if mb_advantages.numel() == 1:
        raise CourseError(
            "a single advantage has no standard deviation to be normalised by: use a larger minibatch or gen_len"
        )
    advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + eps)
    ratio = (logprobs - mb_logprobs).exp()
    objective = (ratio * advantages).minimum(ratio.clip(1 - clip_coef, 1 + clip_coef) * advantages).mean()
    record_metrics(clipped_surrogate=objective, clipfrac=((ratio - 1).abs() > clip_coef).float().mean())
    return objective


def _check_columns(name: str, tensor: Tensor, gen_len: int) -> None:
    """Raise a CourseError unless the tensor has a column for each generated token."""
    if tensor.ndim != 2 or tensor.shape[1] != gen_len:
        raise CourseError(
            f"{name} has shape {list(tensor.shape)}, should have gen_len={gen_len} columns, one for each generated "
            "token (their logits and values are at [:, -gen_len-1:-1], the tokens at [:, -gen_len:])"
        )


def _check_same(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise a CourseError unless both tensors have the same shape."""
    if tensor.shape != other.shape:
        raise CourseError(
            f"{name} has shape {list(tensor.shape)}, and {other_name} has {list(other.shape)}: they must be equal"
        )
