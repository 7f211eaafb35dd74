"""The term that keeps the policy exploring."""

import torch


def calc_entropy_bonus(logits, ent_coef, gen_len):
    probs = torch.softmax(logits, dim=-1)
    entropy = -(probs * torch.log(probs)).sum(-1)
    return ent_coef * entropy.mean()
