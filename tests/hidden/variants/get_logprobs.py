"""Right answers to `get_logprobs`, in other words than the reference's."""

import torch
from eindex import eindex
from torch.nn.functional import cross_entropy


def with_eindex(logits, tokens, prefix_len=None):
    first = prefix_len or 1
    return eindex(logits.log_softmax(-1)[:, first - 1 : -1], tokens[:, first:], "b s [b s]")


def indexing(logits, tokens, prefix_len=None):
    first = prefix_len or 1
    logprobs = logits.log_softmax(-1)
    rows = torch.arange(tokens.shape[0])[:, None]
    positions = torch.arange(first - 1, tokens.shape[1] - 1)[None, :]
    return logprobs[rows, positions, tokens[:, first:]]


def with_cross_entropy(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    return -cross_entropy(logits[:, first - 1 : -1].transpose(1, 2), tokens[:, first:], reduction="none")


def chosen_minus_logsumexp(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    logits = logits[:, first - 1 : -1]
    return torch.take_along_dim(logits, tokens[:, first:, None], dim=-1)[..., 0] - logits.logsumexp(-1)


def one_hot(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    chosen = torch.nn.functional.one_hot(tokens, logits.shape[-1]).bool()[:, first:]
    return logits.log_softmax(-1)[:, first - 1 : -1].masked_fill(~chosen, 0.0).sum(-1)


def library_distribution(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    return torch.distributions.Categorical(logits=logits[:, first - 1 : -1]).log_prob(tokens[:, first:])
