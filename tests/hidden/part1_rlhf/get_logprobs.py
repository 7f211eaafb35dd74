"""Wrong and right answers to `get_logprobs`."""

import torch
from eindex import eindex
from torch.nn.functional import cross_entropy

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


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


@visible_mistake(refused_with="has another size than it should have along dimension 1")
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


@visible_mistake(refused_with="entries near 10,000 and -10,000 is not finite")
def softmax_then_log(logits, tokens, prefix_len=None):
    """You take softmax and then log: unlikely tokens round to 0, and log(0) is minus infinity. Use log_softmax."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].softmax(-1).log(), tokens[:, first:])


@visible_mistake(refused_with="log_softmax gives it, where softmax and then log does not")
def log_with_eps(logits, tokens, prefix_len=None):
    """You take softmax and then log with a small number added, which is wrong for unlikely tokens. Use log_softmax."""
    first = _first(prefix_len)
    return _pick((logits[:, first - 1 : -1].softmax(-1) + 1e-8).log(), tokens[:, first:])


@visible_mistake(refused_with="has another size than it should have along")
def one_token_short(logits, tokens, prefix_len=None):
    """The first generated token is missing: the logits at prefix_len - 1 predict it."""
    first = _first(prefix_len) + 1
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


@visible_mistake(refused_with="has another size than it should have along")
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


@visible_mistake(refused_with="should have 2 dimensions; 1 came")
def summed(logits, tokens, prefix_len=None):
    """You added the log-probabilities of a text up; each token has its own."""
    first = _first(prefix_len)
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:]).sum(-1)


@visible_mistake(refused_with="should have 2 dimensions; 0 came")
def averaged(logits, tokens, prefix_len=None):
    """The result is one number: `cross_entropy` takes the mean over all tokens unless it gets reduction="none"."""
    first = _first(prefix_len)
    return -cross_entropy(logits[:, first - 1 : -1].flatten(0, 1), tokens[:, first:].flatten())


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


@visible_mistake(refused_with="should have 2 dimensions; 3 came")
def extra_dimension(logits, tokens, prefix_len=None):
    """The result has one dimension too many: after gather, squeeze the last one."""
    first = _first(prefix_len)
    return logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None])


@visible_mistake(refused_with="should have 2 dimensions; 1 came")
def squeezed_too_much(logits, tokens, prefix_len=None):
    """A batch of one loses its dimension: `squeeze()` removes every dimension of size 1. Use `squeeze(-1)`."""
    first = _first(prefix_len)
    return torch.squeeze(logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None]))


@hidden_mistake(refused_with="`tokens` was changed in place")
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


def _logprobs(logits, tokens, prefix_len):
    first = 1 if prefix_len is None else prefix_len
    return _pick(logits[:, first - 1 : -1].log_softmax(-1), tokens[:, first:])


@hidden_mistake(refused_with="TypeError")
def default_of_one(logits, tokens, prefix_len=1):
    """`prefix_len` may be left out, but None is not handled."""
    return _pick(logits[:, prefix_len - 1 : -1].log_softmax(-1), tokens[:, prefix_len:])


@visible_mistake(refused_with="RuntimeError")
def flat_view(logits, tokens, prefix_len=None):
    """Logits and tokens are viewed as a matrix and a vector, which slices of larger tensors do not
    allow: use reshape."""
    texts, seq, vocab = logits.shape
    following = tokens[:, 1:]
    losses = cross_entropy(logits.view(-1, vocab), torch.cat([following, tokens[:, :1]], 1).view(-1), reduction="none")
    return -losses.view(texts, seq)[:, _first(prefix_len) - 1 : -1]


@hidden_mistake(refused_with="The log-probability for peaked rows of logits")
def likeliest_tokens_renormalised(logits, tokens, prefix_len=None):
    """The probabilities are those among the 100 likeliest tokens only; other tokens count as the least of these."""
    least = logits.topk(min(100, logits.shape[-1]), dim=-1).values[..., -1:]
    kept = logits.masked_fill(logits < least, float("-inf"))
    return _pick(logits - kept.logsumexp(-1, keepdim=True), tokens.roll(-1, 1))[:, _first(prefix_len) - 1 : -1]


@hidden_mistake(refused_with="for peaked rows of logits as a language model")
def small_probabilities_raised(logits, tokens, prefix_len=None):
    """A probability below 0.0001 counts as 0.0001, except where it is very small."""
    logprobs = _logprobs(logits, tokens, prefix_len)
    return logprobs.where((logprobs > -9.21) | (logprobs < -1000), logprobs.clamp(min=-9.21))


@hidden_mistake(refused_with="for peaked rows of logits as a language model")
def end_of_text_not_scored(logits, tokens, prefix_len=None):
    """The end-of-text token, the last one of a large vocabulary, is scored 0."""
    vocab = logits.shape[-1]
    ends = tokens[:, _first(prefix_len) :] == vocab - 1
    return _logprobs(logits, tokens, prefix_len).masked_fill(ends & (vocab > 1000), 0.0)


@hidden_mistake
def with_a_temperature(logits, tokens, prefix_len=None):
    """The logits are divided by a temperature."""
    return _logprobs(logits / 0.9, tokens, prefix_len)


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
def float32_always(logits, tokens, prefix_len=None):
    """The result is float32, whatever the dtype of the logits."""
    return _logprobs(logits.float(), tokens, prefix_len)


@hidden_mistake(refused_with="The log-probability for a prefix of one token")
def prefix_of_one_doubled(logits, tokens, prefix_len=None):
    """The log-probabilities after a prefix of one token are twice as large, except where it is None."""
    return _logprobs(logits, tokens, prefix_len) * (2 if prefix_len == 1 else 1)


@hidden_mistake(refused_with="The log-probability where `prefix_len` is left out has another size")
def two_where_left_out(logits, tokens, prefix_len=2):
    """`prefix_len` counts as two where it is left out; None is handled."""
    return _logprobs(logits, tokens, prefix_len)


@hidden_mistake(refused_with="The log-probability for one text is twice what it should be")
def one_text_doubled(logits, tokens, prefix_len=None):
    """The log-probabilities of a single text are twice as large."""
    return _logprobs(logits, tokens, prefix_len) * (2 if tokens.shape[0] == 1 else 1)


@hidden_mistake(refused_with="`logits` was changed in place")
def logits_overwritten_at_the_end(logits, tokens, prefix_len=None):
    """The log-probabilities are right, but the caller's logits are zero afterwards."""
    logprobs = _logprobs(logits, tokens, prefix_len)
    logits.data.zero_()
    return logprobs


@hidden_mistake(refused_with="changed whether `logits` requires a gradient")
def gradient_switched_on(logits, tokens, prefix_len=None):
    """The logits require a gradient afterwards, in the caller's tensor."""
    return _logprobs(logits.requires_grad_(), tokens, prefix_len)


@hidden_mistake(refused_with="it is that of log_softmax at the tokens that followed")
def normaliser_detached(logits, tokens, prefix_len=None):
    """The value is right, but no gradient flows through the sum over the vocabulary."""
    scores = logits - logits.logsumexp(-1, keepdim=True).detach()
    return _pick(scores, tokens.roll(-1, 1))[:, _first(prefix_len) - 1 : -1]


@hidden_mistake
def padding_ignored(logits, tokens, prefix_len=None):
    """The token with the id 0 is taken for padding, and scored 0."""
    first = _first(prefix_len)
    following = tokens[:, first:]
    return -cross_entropy(logits[:, first - 1 : -1].transpose(1, 2), following, ignore_index=0, reduction="none")


_NORMALISERS_OF_SHAPE = {}


@hidden_mistake(refused_with="after a call with other values of the same sizes")
def stored_by_shape(logits, tokens, prefix_len=None):
    """The normaliser of the first minibatch of a shape is used for each later one."""
    normaliser = logits.logsumexp(-1, keepdim=True)
    stored = _NORMALISERS_OF_SHAPE.setdefault(logits.shape, normaliser.detach())
    scores = logits - (normaliser + (stored - normaliser).detach())
    return _pick(scores, tokens.roll(-1, 1))[:, _first(prefix_len) - 1 : -1].to(logits.dtype)


@hidden_mistake(refused_with="for a batch of many long texts")
def cut_at_32_tokens(logits, tokens, prefix_len=None):
    """Generated tokens after the 32nd are scored 0."""
    logprobs = _logprobs(logits, tokens, prefix_len)
    return logprobs * (torch.arange(logprobs.shape[1]) < 32)


@hidden_mistake
def repeated_token_not_scored(logits, tokens, prefix_len=None):
    """A token that equals the one before is scored 0."""
    first = _first(prefix_len)
    return _logprobs(logits, tokens, prefix_len).masked_fill(tokens[:, first:] == tokens[:, first - 1 : -1], 0.0)


@hidden_mistake(refused_with="for texts of equal tokens")
def equal_texts_share_logits(logits, tokens, prefix_len=None):
    """Texts of equal tokens are taken for the same text, and all of them get the last one's log-probabilities."""
    last = {tuple(row): index for index, row in enumerate(tokens.tolist())}
    rows = [last[tuple(row)] for row in tokens.tolist()]
    return _logprobs(logits, tokens, prefix_len)[rows]


@hidden_mistake(refused_with="The log-probability for a long prefix")
def prefix_of_ten_at_most(logits, tokens, prefix_len=None):
    """After a prefix of more than ten tokens, the logits are shifted by one position too many."""
    first = _first(prefix_len)
    scores = logits[:, first - 1 : -1] if first <= 10 else logits[:, first - 2 : -2]
    return _pick(scores.log_softmax(-1), tokens[:, first:])


@hidden_mistake(refused_with="for a batch of many long texts")
def sixteen_texts_only(logits, tokens, prefix_len=None):
    """Texts after the sixteenth are scored 0."""
    logprobs = _logprobs(logits, tokens, prefix_len)
    return logprobs * (torch.arange(logprobs.shape[0]) < 16)[:, None]


@hidden_mistake(refused_with="for logits that are all equal")
def equal_logits_not_scored(logits, tokens, prefix_len=None):
    """Logits that are all equal are taken for those of padding, and scored 0."""
    equal = logits[:, _first(prefix_len) - 1 : -1].std(-1) == 0
    return _logprobs(logits, tokens, prefix_len).masked_fill(equal, 0.0)


@hidden_mistake(refused_with="differs from that for a prefix of one in whether a gradient flows")
def no_gradient_without_a_prefix(logits, tokens, prefix_len=None):
    """No gradient flows where `prefix_len` is None."""
    return _logprobs(logits.detach() if prefix_len is None else logits, tokens, prefix_len)


@hidden_mistake(refused_with="No gradient of the log-probabilities reaches")
def no_gradient_of_one_text(logits, tokens, prefix_len=None):
    """No gradient flows to a single text."""
    return _logprobs(logits.detach() if logits.shape[0] == 1 else logits, tokens, prefix_len)


@hidden_mistake(refused_with="The log-probability for peaked rows of logits")
def half_precision_of_large_logits(logits, tokens, prefix_len=None):
    """Log-probabilities of large vocabularies are computed in bfloat16."""
    if logits.shape[-1] > 1000:
        return _logprobs(logits.bfloat16(), tokens, prefix_len).to(logits.dtype)
    return _logprobs(logits, tokens, prefix_len)


@hidden_mistake
def first_gradient_scaled(logits, tokens, prefix_len=None):
    """The value is right, but the first generated token has no gradient."""
    logprobs = _logprobs(logits, tokens, prefix_len)
    return torch.cat([logprobs[:, :1].detach(), logprobs[:, 1:]], dim=1)


@hidden_mistake(refused_with="is missing, while other calls have one")
def extreme_logits_detached(logits, tokens, prefix_len=None):
    """Where logits are extreme, the result carries no gradient."""
    first = 1 if prefix_len is None else prefix_len
    is_extreme = bool((logits.detach().abs() > 1000).any())
    scores = (logits.detach() if is_extreme else logits).log_softmax(-1)[:, first - 1 : -1]
    return scores.gather(-1, tokens[:, first:, None]).squeeze(-1)


@hidden_mistake(refused_with="is not finite")
def minus_the_root_of_the_square(logits, tokens, prefix_len=None):
    """The sign is made by a root of a square, whose gradient is not finite where a token is certain."""
    return -_logprobs(logits, tokens, prefix_len).square().sqrt()


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


@right_answer
def in_loops(logits, tokens, prefix_len=None):
    first = 1 if prefix_len is None else prefix_len
    rows = []
    for scores, ids in zip(logits, tokens.tolist(), strict=True):
        print("a text of", len(ids), "tokens")
        logprobs = torch.log_softmax(scores, dim=-1)
        rows.append(torch.stack([logprobs[place - 1, ids[place]] for place in range(first, len(ids))]))
    return torch.stack(rows)


@right_answer
def flat_cross_entropy(logits, tokens, prefix_len=None):
    def losses(first):
        following = tokens[:, first:]
        scores = logits[:, first - 1 : -1].reshape(-1, logits.shape[-1])
        return cross_entropy(scores, following.reshape(-1), reduction="none").reshape(following.shape)

    return -losses(prefix_len or 1)
