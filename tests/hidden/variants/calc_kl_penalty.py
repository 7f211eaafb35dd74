"""Right answers to `calc_kl_penalty`, in other words than the reference's."""

import torch
from einops import einsum
from torch.nn import functional


def library_kl_div(logits, ref_logits, kl_coef, gen_len):
    new, ref = functional.log_softmax(logits, -1), functional.log_softmax(ref_logits, -1)
    return kl_coef * functional.kl_div(ref, new, log_target=True, reduction="none").sum(-1).mean()


def softmax_as_weights(logits, ref_logits, kl_coef, gen_len):
    ratio = logits.log_softmax(-1) - ref_logits.log_softmax(-1)
    return (logits.softmax(-1) * ratio).sum(dim=-1).mean() * kl_coef


def logsumexp(logits, ref_logits, kl_coef, gen_len):
    new = logits - logits.logsumexp(-1, keepdim=True)
    ref = ref_logits - ref_logits.logsumexp(-1, keepdim=True)
    return kl_coef * (new.exp() * (new - ref)).sum(-1).mean()


def with_einsum(logits, ref_logits, kl_coef, gen_len):
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * einsum(new.exp(), new - ref, "b g v, b g v -> b g").mean()


def cross_entropy_minus_entropy(logits, ref_logits, kl_coef, gen_len):
    p = logits.softmax(-1)
    own, other = (functional.cross_entropy(one.flatten(0, 1), p.flatten(0, 1)) for one in (logits, ref_logits))
    return kl_coef * (other - own)


def divided_by_hand(logits, ref_logits, kl_coef, gen_len):
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * torch.sum(new.exp() * (new - ref)) / (logits.shape[0] * gen_len)
