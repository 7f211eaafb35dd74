"""The term that keeps the policy exploring."""

import torch


def calc_entropy_bonus(logits, ent_coef, gen_len):
    assert logits.size(1) == gen_len
    logp = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    plogp = logp * torch.exp(logp)
    return -ent_coef * plogp.sum(dim=-1).mean()
