"""Fit linear critics on the frozen states of a model, to measure what a critic is worth."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_course.rl.models import BridgeModel

_TEXTS_AT_ONCE = 256


@torch.no_grad()
def token_states(model: Any, sample_ids: Int[Tensor, "batch seq"], gen_len: int) -> Float[Tensor, "batch gen d_model"]:
    """Return the normalised residual stream of the state in which each generated token was chosen.

    Args:
        model: A TransformerLens bridge.
        sample_ids: Texts of one length, without padding.
        gen_len: Number of generated tokens, which are the last ones.
    """
    found: list[Tensor] = []

    def store_states(resid: Tensor, hook: Any) -> None:
        found.append(resid[:, -gen_len - 1 : -1].float().cpu())

    for part in sample_ids.split(_TEXTS_AT_ONCE):
        model.run_with_hooks(part, fwd_hooks=[(BridgeModel.HOOK_POINT, store_states)])
    return torch.cat(found)


def fit_linear_critic(
    features: Float[Tensor, "batch gen d"], rewards: Float[Tensor, "batch"], decay: float = 10.0
) -> Float[Tensor, "d"]:
    """Return the weights with which features predict a text's reward best at all of its states, by least squares.

    Args:
        features: The features of each state. One of them should be 1, since no bias is added.
        rewards: The reward of each text.
        decay: Weight of the squared norm of the weights, beside the summed squared errors.
    """
    states = features.flatten(0, 1).double()
    targets = rewards[:, None].expand(features.shape[:2]).flatten().double()
    squares = states.T @ states + decay * torch.eye(states.shape[1], dtype=torch.double)
    return torch.linalg.solve(squares, states.T @ targets).float()
