"""How likely the policy found the tokens that followed."""

from torch import arange


def get_logprobs(logits, tokens, prefix_len=None):
    logprobs = logits.log_softmax(dim=-1)
    raise NotImplementedError("pick the right entries with arange?")
