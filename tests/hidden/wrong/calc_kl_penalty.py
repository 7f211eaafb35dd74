"""Wrong answers to `calc_kl_penalty`."""


def _kl(new, ref):
    return (new.exp() * (new - ref)).sum(-1)


def likeliest_tokens_only(logits, ref_logits, kl_coef, gen_len):
    """Only the ten tokens that the policy finds likeliest are summed over."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    kept = new.topk(min(10, new.shape[-1]), dim=-1).indices
    return kl_coef * _kl(new.gather(-1, kept), ref.gather(-1, kept)).mean()


def reference_normalised_in_place(logits, ref_logits, kl_coef, gen_len):
    """The reference's logits become log-probabilities, in the caller's tensor."""
    ref = ref_logits.detach()
    ref -= ref.logsumexp(-1, keepdim=True)
    return kl_coef * _kl(logits.log_softmax(-1), ref).mean()


def capped(logits, ref_logits, kl_coef, gen_len):
    """The divergence of a position is capped."""
    return kl_coef * _kl(logits.log_softmax(-1), ref_logits.log_softmax(-1)).clamp(max=5.0).mean()


def both_directions(logits, ref_logits, kl_coef, gen_len):
    """It is the mean of both directions."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * (_kl(new, ref) + _kl(ref, new)).mean() / 2


def sampled_token_only(logits, ref_logits, kl_coef, gen_len):
    """Only the likeliest token stands for the whole vocabulary."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    best = new.argmax(-1, keepdim=True)
    return kl_coef * (new - ref).gather(-1, best).mean()


def absolute(logits, ref_logits, kl_coef, gen_len):
    """The differences are summed as absolute values."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * (new.exp() * (new - ref).abs()).sum(-1).mean()
