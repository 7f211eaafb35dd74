"""The term that keeps the policy near the pretrained model."""

import torch.nn.functional as F


def calc_kl_penalty(logits, ref_logits, kl_coef, gen_len):
    assert logits.size(1) == gen_len
    log_p = F.log_softmax(logits, dim=-1)
    log_q = F.log_softmax(ref_logits, dim=-1)
    # F.kl_div(a, b) is KL(b || a): the reference comes first
    per_token = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return kl_coef * per_token.mean()
