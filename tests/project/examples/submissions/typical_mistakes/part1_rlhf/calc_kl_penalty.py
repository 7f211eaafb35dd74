"""The term that keeps the policy near the pretrained model."""


def calc_kl_penalty(logits, ref_logits, kl_coef, gen_len):
    log_p = logits.log_softmax(-1)
    log_q = ref_logits.log_softmax(-1)
    kl = (log_q.exp() * (log_q - log_p)).sum(-1)
    return kl_coef * kl.mean()
