"""Wrong answers to `calc_entropy_bonus`."""


def _entropy(logprobs):
    return -(logprobs.exp() * logprobs).sum(-1)


def likeliest_tokens_only(logits, ent_coef, gen_len):
    """Only the ten likeliest tokens are summed over."""
    logprobs = logits.log_softmax(-1)
    return ent_coef * _entropy(logprobs.topk(min(10, logprobs.shape[-1]), dim=-1).values).mean()


def normalised_in_place(logits, ent_coef, gen_len):
    """The logits become log-probabilities, in the caller's tensor."""
    shared = logits.detach()
    shared -= shared.logsumexp(-1, keepdim=True)
    return ent_coef * _entropy(logits.log_softmax(-1)).mean()


def share_of_the_largest(logits, ent_coef, gen_len):
    """The entropy is divided by the largest that the vocabulary allows."""
    largest = logits.new_tensor(float(logits.shape[-1])).log()
    return ent_coef * (_entropy(logits.log_softmax(-1)) / largest).mean()


def perplexity(logits, ent_coef, gen_len):
    """It is the perplexity, the exponential of the entropy."""
    return ent_coef * _entropy(logits.log_softmax(-1)).exp().mean()


def surprise_of_the_likeliest(logits, ent_coef, gen_len):
    """Only the surprise at the likeliest token counts."""
    return -ent_coef * logits.log_softmax(-1).max(-1).values.mean()
