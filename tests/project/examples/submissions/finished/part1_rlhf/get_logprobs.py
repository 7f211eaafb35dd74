"""How likely the policy found the tokens that followed."""

import torch.nn.functional as F


def get_logprobs(logits, tokens, prefix_len=None):
    if prefix_len is None:
        prefix_len = 1
    predictions = logits[:, prefix_len - 1 : -1, :]
    targets = tokens[:, prefix_len:]
    return -F.cross_entropy(predictions.transpose(1, 2), targets, reduction="none")
