"""How likely the policy found the tokens that followed."""


def get_logprobs(logits, tokens, prefix_len=None):
    logprobs = logits.log_softmax(-1)
    picked = logprobs.gather(-1, tokens[:, :, None])[:, :, 0]
    return picked[:, (prefix_len or 1) :]
