"""Check that a model's full forward pass gives the distribution that it samples from, and does not look ahead.

Texts are sampled token by token with a key-value cache, and PPO's ratio compares probabilities from full passes. Where
the two differ, the ratio is not 1 before the first step, and the run learns from the difference.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rlhf_course.errors import CourseError
from rlhf_course.rl.samples import generate

_PREFIX_LEN, _GEN_LEN = 3, 2
_LIKELIEST = 10
# Rounding changes the ratio by less than 1e-4; PPO clips it at 0.8 and 1.2.
_TOLERANCE = 0.01
# How much a token may change the logits before it, as a part of how much it changes its own.
_LEAK = 1e-3


def probe_ids(bridge: TransformerBridge) -> Int[Tensor, "2 seq"]:
    """Return a few token ids from the whole vocabulary, and again with another last one, on the model's device."""
    ids = torch.linspace(0, bridge.cfg.d_vocab - 1, _PREFIX_LEN + _GEN_LEN).long().repeat(2, 1)
    ids[1, -1] = 0
    return ids.to(next(torch.nn.Module.parameters(bridge)).device)


def cached_logits(bridge: TransformerBridge) -> Float[Tensor, "gen vocab"]:
    """Return the logits from which sampling with a cache would draw each of the probe's last tokens."""
    ids = probe_ids(bridge)[:1]
    remaining = list(ids[:, _PREFIX_LEN:].unbind(dim=1))
    logits: list[Tensor] = []

    def choose(next_logits: Float[Tensor, "batch vocab"]) -> Int[Tensor, "batch"]:
        logits.append(next_logits[0])
        return remaining[len(logits) - 1]

    generate(bridge, ids[:, :_PREFIX_LEN], 1, _GEN_LEN, choose)
    return torch.stack(logits)


def check_full_pass(cached: Float[Tensor, "gen vocab"], full: Float[Tensor, "2 seq vocab"]) -> None:
    """Check PPO's ratio of the tokens that would likely be sampled, before any step, and that no token looks ahead.

    Args:
        cached: The result of `cached_logits`.
        full: The logits of `probe_ids` in one full pass.

    Raises:
        CourseError: The ratio is not 1, or the last token changes the logits before it.
    """
    cached = cached.detach().double().log_softmax(dim=-1)
    logprobs = full[0, _PREFIX_LEN - 1 : -1].detach().double().log_softmax(dim=-1)
    likeliest = cached.topk(min(_LIKELIEST, cached.shape[-1])).indices
    ratio = (logprobs - cached).gather(-1, likeliest).exp()
    lowest, highest = ratio.min().item(), ratio.max().item()
    if not (lowest > 1 - _TOLERANCE and highest < 1 + _TOLERANCE):  # NaN fails both
        raise CourseError(
            f"it cannot be trained here: sampling token by token and one pass over the whole text give different "
            f"probabilities, with ratios from {lowest:.3g} to {highest:.3g} before any step, which should be 1. Take a "
            "decoder that generates with a key-value cache, such as GPT-2 or Llama"
        )
    changes = (full[0] - full[1]).abs().amax(dim=-1)
    if changes[:-1].max() > _LEAK * changes[-1]:
        raise CourseError(
            "it cannot be trained here: its last token changes the logits of the tokens before it, so it sees the "
            "tokens that it should predict. Take a decoder that only looks back, such as GPT-2 or Llama"
        )
