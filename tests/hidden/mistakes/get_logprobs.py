"""Known mistakes of `get_logprobs`."""

import torch


def _pick(scores, tokens):
    return scores.gather(-1, tokens[..., None]).squeeze(-1)


def _first(prefix_len):
    return 1 if prefix_len is None else prefix_len


def not_shifted(logits, tokens, prefix_len=None):
    """The logits are not shifted: those at position i are about the token at i + 1, and you asked them about the token at i."""
    first = _first(prefix_len)
    return _pick(logits[:, first:].log_softmax(-1), tokens[:, first:])


def shifted_the_other_way(logits, tokens, prefix_len=None):
    """You shifted the other way: the logits at position i are about the token at i + 1, not about that at i - 1."""
    first = _first(prefix_len)
    return _pick(logits[:, first:].log_softmax(-1), tokens[:, first - 1 : -1])


def none_not_handled(logits, tokens, prefix_len=None):
    """`prefix_len=None` is not handled: it means 1, since nothing predicts the first token."""
    return _pick(logits[:, prefix_len - 1 : -1].log_softmax(-1), tokens[:, prefix_len:])


def none_as_two(logits, tokens, prefix_len=None):
    """`prefix_len=None` drops one token too many: it means 1, and seq - 1 tokens are asked about."""
    first = 2 if prefix_len is None else prefix_len
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


def raw_logits(logits, tokens, prefix_len=None):
    """You return logits; log-probabilities come from them by log_softmax."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1], tokens[:, first:])


def probabilities(logits, tokens, prefix_len=None):
    """You return probabilities; their logarithms are meant."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].softmax(-1), tokens[:, first:])


def softmax_then_log(logits, tokens, prefix_len=None):
    """You take softmax and then log: unlikely tokens round to 0, and log(0) is minus infinity. Use log_softmax."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].softmax(-1).log(), tokens[:, first:])


def log_with_eps(logits, tokens, prefix_len=None):
    """You take softmax and then log with a small number added: finite, but wrong for unlikely tokens. Use log_softmax."""
    first = _first(prefix_len)
    return _pick((logits[:, first - 1 : -1].softmax(-1) + 1e-8).log(), tokens[:, first:])


def one_token_short(logits, tokens, prefix_len=None):
    """The first generated token is missing: the logits at prefix_len - 1 are about it."""
    first = _first(prefix_len) + 1
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


def prefix_kept(logits, tokens, prefix_len=None):
    """`prefix_len` has no effect: only tokens after the prefix are asked about."""
    return _pick(logits[:, :-1].log_softmax(-1), tokens[:, 1:])


def wrong_dimension(logits, tokens, prefix_len=None):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(1), tokens[:, first:])


def no_gradient(logits, tokens, prefix_len=None):
    """The values are right, but no gradient reaches the logits (detach or no_grad), so the policy could not learn from them."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:]).detach()


def summed(logits, tokens, prefix_len=None):
    """You added the log-probabilities of a text up; each token has its own."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:]).sum(-1)


def likeliest(logits, tokens, prefix_len=None):
    """You return the log-probability of the likeliest token; it is that of the token that followed."""
    first = _first(prefix_len)
    return logits[:, first - 1 : -1].log_softmax(-1).max(-1).values


def turned_sign(logits, tokens, prefix_len=None):
    """The sign is turned: cross-entropy is minus the log-probability."""
    first = _first(prefix_len)
    return -_pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


def extra_dimension(logits, tokens, prefix_len=None):
    """The result has one dimension too many: after gather, squeeze the last one."""
    first = _first(prefix_len)
    return logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None])


def squeezed_too_much(logits, tokens, prefix_len=None):
    """A batch of one loses its dimension: `squeeze()` takes every dimension of size 1; name the one that you mean, -1."""
    first = _first(prefix_len)
    return torch.squeeze(logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None]))
