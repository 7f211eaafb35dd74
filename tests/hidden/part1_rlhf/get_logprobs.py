"""Wrong and right answers to `get_logprobs`."""

import torch
from eindex import eindex
from torch.nn.functional import cross_entropy

from rlhf_course.building.bank import hidden_mistake, right_answer, visible_mistake


def _pick(scores, tokens):
    return scores.gather(-1, tokens[..., None]).squeeze(-1)


def _first(prefix_len):
    return 1 if prefix_len is None else prefix_len


@visible_mistake
def not_shifted(logits, tokens, prefix_len=None):
    """The logits are not shifted: you use those at position i for the token at i.

    They predict the token at i + 1.
    """
    first = _first(prefix_len)
    return _pick(logits[:, first:].log_softmax(-1), tokens[:, first:])


@visible_mistake
def shifted_the_other_way(logits, tokens, prefix_len=None):
    """You shifted the other way: the logits at position i predict the token at i + 1, not the one at i - 1."""
    first = _first(prefix_len)
    return _pick(logits[:, first:].log_softmax(-1), tokens[:, first - 1 : -1])


@visible_mistake(refused_with="TypeError")
def none_not_handled(logits, tokens, prefix_len=None):
    """`prefix_len=None` is not handled: it means 1, since nothing predicts the first token."""
    return _pick(logits[:, prefix_len - 1 : -1].log_softmax(-1), tokens[:, prefix_len:])


@visible_mistake(refused_with="The log-probability of the tokens where prefix_len is None has another")
def none_as_two(logits, tokens, prefix_len=None):
    """`prefix_len=None` drops one token too many: it means 1, so the result has seq - 1 positions."""
    first = 2 if prefix_len is None else prefix_len
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


@visible_mistake
def raw_logits(logits, tokens, prefix_len=None):
    """You return logits; log-probabilities come from them by log_softmax."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1], tokens[:, first:])


@visible_mistake
def probabilities(logits, tokens, prefix_len=None):
    """You return probabilities; return their logarithms."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].softmax(-1), tokens[:, first:])


@visible_mistake(refused_with="The log-probability under logits near 10000 and -10000 is not finite (nan")
def softmax_then_log(logits, tokens, prefix_len=None):
    """You take softmax and then log: unlikely tokens round to 0, and log(0) is minus infinity. Use log_softmax."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].softmax(-1).log(), tokens[:, first:])


@visible_mistake(refused_with="use log_softmax, never softmax and then log")
def log_with_eps(logits, tokens, prefix_len=None):
    """You take softmax and then log with a small number added, which is wrong for unlikely tokens. Use log_softmax."""
    first = _first(prefix_len)
    return _pick((logits[:, first - 1 : -1].softmax(-1) + 1e-8).log(), tokens[:, first:])


@visible_mistake(refused_with="The log-probability of the tokens after the prefix has another size than")
def one_token_short(logits, tokens, prefix_len=None):
    """The first generated token is missing: the logits at prefix_len - 1 predict it."""
    first = _first(prefix_len) + 1
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


@visible_mistake(refused_with="The log-probability of the tokens after the prefix has another size than")
def prefix_kept(logits, tokens, prefix_len=None):
    """`prefix_len` has no effect: the result should hold the tokens after the prefix only."""
    return _pick(logits[:, :-1].log_softmax(-1), tokens[:, 1:])


@visible_mistake
def wrong_dimension(logits, tokens, prefix_len=None):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(1), tokens[:, first:])


@visible_mistake(refused_with="No gradient of the log-probabilities reaches the logits, so the policy")
def no_gradient(logits, tokens, prefix_len=None):
    """The values are right, but no gradient reaches the logits (detach or no_grad).

    So the policy could not learn from them.
    """
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:]).detach()


@visible_mistake(refused_with="The log-probability of the tokens after the prefix should have 2")
def summed(logits, tokens, prefix_len=None):
    """You added the log-probabilities of a text up; each token has its own."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:]).sum(-1)


@visible_mistake
def likeliest(logits, tokens, prefix_len=None):
    """You return the log-probability of the likeliest token; return that of the token that followed."""
    first = _first(prefix_len)
    return logits[:, first - 1 : -1].log_softmax(-1).max(-1).values


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(logits, tokens, prefix_len=None):
    """The sign is wrong: cross-entropy is minus the log-probability."""
    first = _first(prefix_len)
    return -_pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


@visible_mistake(refused_with="The log-probability of the tokens after the prefix should have 2")
def extra_dimension(logits, tokens, prefix_len=None):
    """The result has one dimension too many: after gather, squeeze the last one."""
    first = _first(prefix_len)
    return logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None])


@visible_mistake(refused_with="The log-probability of one text should have 2 dimensions; 1 came")
def squeezed_too_much(logits, tokens, prefix_len=None):
    """A batch of one loses its dimension: `squeeze()` removes every dimension of size 1. Use `squeeze(-1)`."""
    first = _first(prefix_len)
    return torch.squeeze(logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None]))


@hidden_mistake(refused_with="The tokens were changed in place")
def prefix_marked_in_place(logits, tokens, prefix_len=None):
    """The tokens of the prefix are overwritten, in the caller's tensor."""
    first = prefix_len or 1
    tokens[:, :first] = -100
    return -cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")[:, first - 1 :]


@hidden_mistake
def first_text_only(logits, tokens, prefix_len=None):
    """The first text's tokens are used for every text."""
    first = prefix_len or 1
    same = tokens[:1].expand(tokens.shape[0], -1)
    return logits[:, first - 1 : -1].log_softmax(-1).gather(-1, same[:, first:, None]).squeeze(-1)


@hidden_mistake
def mean_over_texts(logits, tokens, prefix_len=None):
    """Every text has the mean over the batch."""
    first = prefix_len or 1
    chosen = logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None]).squeeze(-1)
    return chosen.mean(0, keepdim=True).expand_as(chosen)


@right_answer
def with_eindex(logits, tokens, prefix_len=None):
    first = prefix_len or 1
    return eindex(logits.log_softmax(-1)[:, first - 1 : -1], tokens[:, first:], "b s [b s]")


@right_answer
def indexing(logits, tokens, prefix_len=None):
    first = prefix_len or 1
    logprobs = logits.log_softmax(-1)
    rows = torch.arange(tokens.shape[0])[:, None]
    positions = torch.arange(first - 1, tokens.shape[1] - 1)[None, :]
    return logprobs[rows, positions, tokens[:, first:]]


@right_answer
def with_cross_entropy(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    return -cross_entropy(logits[:, first - 1 : -1].transpose(1, 2), tokens[:, first:], reduction="none")


@right_answer
def chosen_minus_logsumexp(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    logits = logits[:, first - 1 : -1]
    return torch.take_along_dim(logits, tokens[:, first:, None], dim=-1)[..., 0] - logits.logsumexp(-1)


@right_answer
def one_hot(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    chosen = torch.nn.functional.one_hot(tokens, logits.shape[-1]).bool()[:, first:]
    return logits.log_softmax(-1)[:, first - 1 : -1].masked_fill(~chosen, 0.0).sum(-1)


@right_answer
def library_distribution(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    return torch.distributions.Categorical(logits=logits[:, first - 1 : -1]).log_prob(tokens[:, first:])
