"""Wrong and right answers to `calc_kl_penalty`."""

import torch
from einops import einsum
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _logprobs(logits, ref_logits):
    return logits.log_softmax(-1), ref_logits.log_softmax(-1)


def _kl(logits, ref_logits):
    new, ref = _logprobs(logits, ref_logits)
    return (new.exp() * (new - ref)).sum(-1)


@visible_mistake
def kl_div_batchmean(logits, ref_logits, kl_coef, gen_len):
    """That is F.kl_div with the policy first, which gives D_KL(reference || policy): it weights by its second argument.

    And "batchmean" divides by the number of texts, not of positions.
    """
    return kl_coef * _kl(ref_logits, logits).sum(-1).mean()


@visible_mistake
def kl_div_mean(logits, ref_logits, kl_coef, gen_len):
    """That is F.kl_div with the policy first, which gives D_KL(reference || policy): it weights by its second argument.

    And "mean" divides by the size of the vocabulary too; a divergence is a sum over it.
    """
    return kl_coef * _kl(ref_logits, logits).mean() / logits.shape[-1]


@visible_mistake
def other_direction(logits, ref_logits, kl_coef, gen_len):
    """That is D_KL(reference || policy); the penalty is D_KL(policy || reference): weight by the policy.

    F.kl_div(a, b) is D_KL(b || a), with the second distribution as the weights.
    """
    return kl_coef * _kl(ref_logits, logits).mean()


@visible_mistake
def sums_over_positions(logits, ref_logits, kl_coef, gen_len):
    """You summed the KL over positions; it is a mean."""
    return kl_coef * _kl(logits, ref_logits).sum(-1).mean()


@visible_mistake
def sums_over_everything(logits, ref_logits, kl_coef, gen_len):
    """You summed the KL over texts and positions; it is a mean over both."""
    return kl_coef * _kl(logits, ref_logits).sum()


@visible_mistake
def averages_over_the_vocabulary(logits, ref_logits, kl_coef, gen_len):
    """You averaged over the vocabulary too; a divergence is a sum over it, and the mean is over texts and positions."""
    new, ref = _logprobs(logits, ref_logits)
    return kl_coef * (new.exp() * (new - ref)).mean()


@visible_mistake(refused_with="is right but for `kl_coef`, which is not used")
def no_coefficient(logits, ref_logits, kl_coef, gen_len):
    """`kl_coef` is missing: the penalty is the mean KL times the coefficient."""
    return _kl(logits, ref_logits).mean()


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(logits, ref_logits, kl_coef, gen_len):
    """The sign is wrong: a divergence is never negative, and the trainer subtracts the penalty."""
    return -kl_coef * _kl(logits, ref_logits).mean()


@visible_mistake(refused_with="The penalty for entries near 10,000 and -10,000 is not finite (nan or inf)")
def softmax_then_log(logits, ref_logits, kl_coef, gen_len):
    """You take softmax and then log: probabilities round to 0, and log(0) spoils the sum. Use log_softmax."""
    p, q = logits.softmax(-1), ref_logits.softmax(-1)
    return kl_coef * (p * (p.log() - q.log())).sum(-1).mean()


@visible_mistake(refused_with="log_softmax gives it, where softmax and then log does not")
def log_with_eps(logits, ref_logits, kl_coef, gen_len):
    """You take softmax and then log with a small number added: finite, but wrong for large logits. Use log_softmax."""
    p, q = logits.softmax(-1), ref_logits.softmax(-1)
    return kl_coef * (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(-1).mean()


@visible_mistake(refused_with="The penalty for entries near 10,000 and -10,000 is not finite (nan or inf)")
def library_distributions(logits, ref_logits, kl_coef, gen_len):
    """torch.distributions gives infinity once a probability rounds to 0. Compute the divergence from log_softmax."""
    new, ref = (torch.distributions.Categorical(logits=values) for values in (logits, ref_logits))
    return kl_coef * torch.distributions.kl_divergence(new, ref).mean()


@visible_mistake(refused_with="every part of the sum that holds the policy's logits counts, its")
def weights_detached(logits, ref_logits, kl_coef, gen_len):
    """The value is right, but you detached the probabilities that weight the sum, so part of the gradient is lost."""
    new, ref = _logprobs(logits, ref_logits)
    return kl_coef * (new.exp().detach() * (new - ref)).sum(-1).mean()


@visible_mistake(refused_with="No gradient of the penalty reaches the policy's logits, so it cannot hold")
def no_gradient(logits, ref_logits, kl_coef, gen_len):
    """The value is right, but no gradient reaches the logits (detach or no_grad).

    So the penalty could not hold the policy back.
    """
    return kl_coef * _kl(logits, ref_logits).mean().detach()


@visible_mistake(refused_with="should be a tensor; a float came")
def plain_number(logits, ref_logits, kl_coef, gen_len):
    """You return a Python number (.item()); without a tensor there is no gradient."""
    return kl_coef * _kl(logits, ref_logits).mean().item()


@visible_mistake
def raw_logits(logits, ref_logits, kl_coef, gen_len):
    """You use the difference of the logits; use that of the log-probabilities, which are normalised."""
    return kl_coef * (logits.softmax(-1) * (logits - ref_logits)).sum(-1).mean()


@visible_mistake
def sliced_again(logits, ref_logits, kl_coef, gen_len):
    """You slice the generated positions again; the logits are sliced already, and this drops the last position."""
    return kl_coef * _kl(logits[:, -gen_len - 1 : -1], ref_logits[:, -gen_len - 1 : -1]).mean()


@visible_mistake(refused_with="should be one number; a tensor with 2 dimensions came")
def not_averaged(logits, ref_logits, kl_coef, gen_len):
    """You return one number for each position; the penalty is their mean."""
    return kl_coef * _kl(logits, ref_logits)


@visible_mistake
def bits(logits, ref_logits, kl_coef, gen_len):
    """You use logarithms to base 2; use natural ones."""
    return kl_coef * _kl(logits, ref_logits).mean() / torch.tensor(2.0).log()


@visible_mistake
def wrong_dimension(logits, ref_logits, kl_coef, gen_len):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    new, ref = logits.log_softmax(1), ref_logits.log_softmax(1)
    return kl_coef * (new.exp() * (new - ref)).sum(-1).mean()


def _kl_of_logprobs(new, ref):
    return (new.exp() * (new - ref)).sum(-1)


@hidden_mistake(refused_with="50,257 tokens")
def likeliest_tokens_only(logits, ref_logits, kl_coef, gen_len):
    """The sum is over the policy's ten likeliest tokens only."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    kept = new.topk(min(10, new.shape[-1]), dim=-1).indices
    return kl_coef * _kl_of_logprobs(new.gather(-1, kept), ref.gather(-1, kept)).mean()


@hidden_mistake(refused_with="`ref_logits` was changed in place")
def reference_normalised_in_place(logits, ref_logits, kl_coef, gen_len):
    """The reference's logits become log-probabilities, in the caller's tensor."""
    ref = ref_logits.detach()
    ref -= ref.logsumexp(-1, keepdim=True)
    return kl_coef * _kl_of_logprobs(logits.log_softmax(-1), ref).mean()


@hidden_mistake(refused_with="log_softmax gives it, where softmax and then log does not")
def capped(logits, ref_logits, kl_coef, gen_len):
    """The divergence of a position is capped."""
    return kl_coef * _kl_of_logprobs(logits.log_softmax(-1), ref_logits.log_softmax(-1)).clamp(max=5.0).mean()


@hidden_mistake
def both_directions(logits, ref_logits, kl_coef, gen_len):
    """The penalty is the mean of both directions."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * (_kl_of_logprobs(new, ref) + _kl_of_logprobs(ref, new)).mean() / 2


@hidden_mistake
def sampled_token_only(logits, ref_logits, kl_coef, gen_len):
    """The likeliest token is used in place of the whole vocabulary."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    best = new.argmax(-1, keepdim=True)
    return kl_coef * (new - ref).gather(-1, best).mean()


@hidden_mistake
def absolute(logits, ref_logits, kl_coef, gen_len):
    """The differences are summed as absolute values."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * (new.exp() * (new - ref).abs()).sum(-1).mean()


@hidden_mistake(refused_with="The penalty for one generated token is zero")
def none_for_one_token(logits, ref_logits, kl_coef, gen_len):
    """Texts of one generated token get no penalty."""
    return kl_coef * _kl(logits, ref_logits).mean() * (gen_len > 1)


@hidden_mistake(refused_with="The penalty with another coefficient")
def coefficient_capped(logits, ref_logits, kl_coef, gen_len):
    """A coefficient above 5 counts as 5."""
    return min(kl_coef, 5.0) * _kl(logits, ref_logits).mean()


@visible_mistake(refused_with="RuntimeError")
def viewed(logits, ref_logits, kl_coef, gen_len):
    """The logits are viewed as a matrix, which slices as the trainer passes them do not allow: use
    reshape."""
    vocab = logits.shape[-1]
    return kl_coef * _kl(logits.view(-1, vocab), ref_logits.view(-1, vocab)).mean()


@hidden_mistake(refused_with="for a minibatch of more than a million logits is missing")
def large_minibatches_without_gradient(logits, ref_logits, kl_coef, gen_len):
    """From a million logits on, the texts are summed one by one as plain numbers, which carry no gradient."""
    if logits.numel() < 2**20:
        return kl_coef * _kl(logits, ref_logits).mean()
    total = sum(_kl(new, ref).sum().item() for new, ref in zip(logits, ref_logits, strict=True))
    mean = total / (logits.shape[0] * logits.shape[1])
    return torch.tensor(kl_coef * mean, dtype=logits.dtype, requires_grad=True)


@hidden_mistake(refused_with="The penalty for texts of which one is the same in logits and ref_logits is too large")
def mean_of_the_nonzero(logits, ref_logits, kl_coef, gen_len):
    """The mean is over the positions where the models differ, as if the others were padding."""
    kl = _kl(logits, ref_logits)
    differs = (kl.detach() > 1e-7).to(kl.dtype)
    return kl_coef * (kl * differs).sum() / differs.sum().clamp(min=1)


@hidden_mistake(refused_with="The penalty for kl_coef = 0 and float64 tensors should have the dtype float64")
def plain_zero(logits, ref_logits, kl_coef, gen_len):
    """Without a coefficient the penalty is a new zero in single precision, which depends on no logits."""
    return kl_coef * _kl(logits, ref_logits).mean() if kl_coef else torch.tensor(0.0)


@hidden_mistake(refused_with="The penalty for many texts of many tokens")
def first_positions_only(logits, ref_logits, kl_coef, gen_len):
    """Only the first 32 positions count."""
    return kl_coef * _kl(logits[:, :32], ref_logits[:, :32]).mean()


@hidden_mistake(refused_with="is missing, while other calls have one")
def extreme_logits_detached(logits, ref_logits, kl_coef, gen_len):
    """Where logits are extreme, the penalty carries no gradient."""
    is_extreme = bool((logits.detach().abs() > 1000).any())
    return kl_coef * _kl(logits.detach() if is_extreme else logits, ref_logits).mean()


@right_answer
def library_kl_div(logits, ref_logits, kl_coef, gen_len):
    new, ref = functional.log_softmax(logits, -1), functional.log_softmax(ref_logits, -1)
    return kl_coef * functional.kl_div(ref, new, log_target=True, reduction="none").sum(-1).mean()


@right_answer
def softmax_as_weights(logits, ref_logits, kl_coef, gen_len):
    ratio = logits.log_softmax(-1) - ref_logits.log_softmax(-1)
    return (logits.softmax(-1) * ratio).sum(dim=-1).mean() * kl_coef


@right_answer
def logsumexp(logits, ref_logits, kl_coef, gen_len):
    new = logits - logits.logsumexp(-1, keepdim=True)
    ref = ref_logits - ref_logits.logsumexp(-1, keepdim=True)
    return kl_coef * (new.exp() * (new - ref)).sum(-1).mean()


@right_answer
def with_einsum(logits, ref_logits, kl_coef, gen_len):
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * einsum(new.exp(), new - ref, "b g v, b g v -> b g").mean()


@right_answer
def cross_entropy_minus_entropy(logits, ref_logits, kl_coef, gen_len):
    p = logits.softmax(-1)
    targets = p.flatten(0, 1)
    entropy = functional.cross_entropy(logits.flatten(0, 1), targets)
    cross_entropy = functional.cross_entropy(ref_logits.flatten(0, 1), targets)
    return kl_coef * (cross_entropy - entropy)


@right_answer
def divided_by_hand(logits, ref_logits, kl_coef, gen_len):
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return kl_coef * torch.sum(new.exp() * (new - ref)) / (logits.shape[0] * gen_len)
