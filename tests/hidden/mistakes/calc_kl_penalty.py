"""Known mistakes of `calc_kl_penalty`."""

import torch


def _parts(logits, ref_logits):
    return logits.log_softmax(-1), ref_logits.log_softmax(-1)


def _kl(logits, ref_logits):
    new, ref = _parts(logits, ref_logits)
    return (new.exp() * (new - ref)).sum(-1)


def other_direction(logits, ref_logits, kl_coef, gen_len):
    """That is D_KL(reference || policy); the penalty is D_KL(policy || reference), weighted with the policy's probabilities."""
    return kl_coef * _kl(ref_logits, logits).mean()


def sums_over_positions(logits, ref_logits, kl_coef, gen_len):
    """You summed the KL over positions; it is a mean."""
    return kl_coef * _kl(logits, ref_logits).sum(-1).mean()


def sums_over_everything(logits, ref_logits, kl_coef, gen_len):
    """You summed the KL over texts and positions; it is a mean over both."""
    return kl_coef * _kl(logits, ref_logits).sum()


def averages_over_the_vocabulary(logits, ref_logits, kl_coef, gen_len):
    """You averaged over the vocabulary as well; a divergence is a sum over it, and the mean is over texts and positions."""
    new, ref = _parts(logits, ref_logits)
    return kl_coef * (new.exp() * (new - ref)).mean()


def no_coefficient(logits, ref_logits, kl_coef, gen_len):
    """`kl_coef` is missing: the penalty is the mean KL times the coefficient."""
    return _kl(logits, ref_logits).mean()


def turned_sign(logits, ref_logits, kl_coef, gen_len):
    """The sign is turned: a divergence is never negative, and the trainer takes the penalty away."""
    return -kl_coef * _kl(logits, ref_logits).mean()


def softmax_then_log(logits, ref_logits, kl_coef, gen_len):
    """You take softmax and then log: probabilities round to 0, and log(0) spoils the sum. Use log_softmax."""
    p, q = logits.softmax(-1), ref_logits.softmax(-1)
    return kl_coef * (p * (p.log() - q.log())).sum(-1).mean()


def log_with_eps(logits, ref_logits, kl_coef, gen_len):
    """You take softmax and then log with a small number added: finite, but wrong for large logits. Use log_softmax."""
    p, q = logits.softmax(-1), ref_logits.softmax(-1)
    return kl_coef * (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(-1).mean()


def library_distributions(logits, ref_logits, kl_coef, gen_len):
    """torch.distributions calls the divergence infinite once a probability rounds to 0. Compute it from log_softmax."""
    new, ref = (torch.distributions.Categorical(logits=one) for one in (logits, ref_logits))
    return kl_coef * torch.distributions.kl_divergence(new, ref).mean()


def weights_detached(logits, ref_logits, kl_coef, gen_len):
    """The value is right, but you detached the probabilities that weight the sum, and a part of the gradient is lost."""
    new, ref = _parts(logits, ref_logits)
    return kl_coef * (new.exp().detach() * (new - ref)).sum(-1).mean()


def no_gradient(logits, ref_logits, kl_coef, gen_len):
    """The value is right, but no gradient reaches the logits (detach or no_grad), so the penalty could not hold the policy back."""
    return kl_coef * _kl(logits, ref_logits).mean().detach()


def plain_number(logits, ref_logits, kl_coef, gen_len):
    """You return a Python number (.item()); without a tensor there is no gradient."""
    return kl_coef * _kl(logits, ref_logits).mean().item()


def raw_logits(logits, ref_logits, kl_coef, gen_len):
    """You take the difference of the logits; it is that of the log-probabilities, which differ from logits by a normaliser."""
    return kl_coef * (logits.softmax(-1) * (logits - ref_logits)).sum(-1).mean()


def sliced_again(logits, ref_logits, kl_coef, gen_len):
    """You slice the generated positions once more; the logits come sliced, and this drops the last position."""
    return kl_coef * _kl(logits[:, -gen_len - 1 : -1], ref_logits[:, -gen_len - 1 : -1]).mean()


def not_averaged(logits, ref_logits, kl_coef, gen_len):
    """You return one number for each position; the penalty is their mean."""
    return kl_coef * _kl(logits, ref_logits)


def bits(logits, ref_logits, kl_coef, gen_len):
    """You use logarithms to base 2; natural ones are meant."""
    return kl_coef * _kl(logits, ref_logits).mean() / torch.tensor(2.0).log()


def wrong_dimension(logits, ref_logits, kl_coef, gen_len):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    new, ref = logits.log_softmax(1), ref_logits.log_softmax(1)
    return kl_coef * (new.exp() * (new - ref)).sum(-1).mean()
