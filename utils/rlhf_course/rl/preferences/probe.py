"""Fit a linear reward on the frozen states of a model, to compare with a model that is trained as a whole."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.batches import encode
from rlhf_course.rl.models import BridgeModel
from rlhf_course.rl.preferences.pairs import Pair

_TEXTS_AT_ONCE = 256


@torch.no_grad()
def end_states(model: Any, prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch d_model"]:
    """Return the normalised residual stream of a bridge at the end-of-text token after each completion."""
    found: list[Tensor] = []

    def store_end_states(resid: Tensor, hook: Any) -> None:
        last = batch.attention_mask.sum(1) - 1
        found.append(resid[torch.arange(len(resid)), last].float().cpu())

    for start in range(0, len(completions), _TEXTS_AT_ONCE):
        part = completions[start : start + _TEXTS_AT_ONCE]
        batch = encode(model.tokenizer, [prompt] * len(part), part, ended=True).to(model.cfg.device)
        model.run_with_hooks(batch.input_ids, fwd_hooks=[(BridgeModel.HOOK_POINT, store_end_states)])
    return torch.cat(found)


def fit_linear_reward(model: Any, pairs: Sequence[Pair], decay: float = 0.1) -> Float[Tensor, "d_model"]:
    """Return the weights of the linear reward on frozen states that fits pairs best, with a penalty on their size.

    Args:
        model: A TransformerLens bridge.
        pairs: The pairs, all of one prompt.
        decay: Weight of half the squared norm of the weights, beside the mean Bradley-Terry loss.
    """
    prompt = pairs[0].prompt
    chosen, rejected = (end_states(model, prompt, side) for side in _sides(pairs))
    bradley_terry_loss = imported_answer("bradley_terry_loss")
    weights = torch.zeros(chosen.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = bradley_terry_loss(chosen @ weights, rejected @ weights) + decay * weights.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def linear_accuracy(model: Any, weights: Float[Tensor, "d_model"], pairs: Sequence[Pair]) -> float:
    """Return the share of pairs that a linear reward ranks as their labels do."""
    prompt = pairs[0].prompt
    chosen, rejected = (end_states(model, prompt, side) @ weights for side in _sides(pairs))
    return float(imported_answer("reward_accuracy")(chosen, rejected))


def _sides(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
