"""Known mistakes of `calc_entropy_bonus`."""

import torch


def _entropy(logits):
    logprobs = logits.log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum(-1)


def turned_sign(logits, ent_coef, gen_len):
    """The sign is turned: an entropy is never negative; p * log p is, so minus its sum is meant."""
    return -ent_coef * _entropy(logits).mean()


def sums_over_positions(logits, ent_coef, gen_len):
    """You summed the entropy over positions; it is a mean."""
    return ent_coef * _entropy(logits).sum(-1).mean()


def sums_over_everything(logits, ent_coef, gen_len):
    """You summed the entropy over texts and positions; it is a mean over both."""
    return ent_coef * _entropy(logits).sum()


def averages_over_the_vocabulary(logits, ent_coef, gen_len):
    """You averaged over the vocabulary as well; an entropy is a sum over it, and the mean is over texts and positions."""
    logprobs = logits.log_softmax(-1)
    return -ent_coef * (logprobs.exp() * logprobs).mean()


def no_coefficient(logits, ent_coef, gen_len):
    """`ent_coef` is missing: the bonus is the mean entropy times the coefficient."""
    return _entropy(logits).mean()


def softmax_then_log(logits, ent_coef, gen_len):
    """You take softmax and then log: probabilities round to 0, and 0 * log(0) is not a number. Use log_softmax."""
    p = logits.softmax(-1)
    return -ent_coef * (p * p.log()).sum(-1).mean()


def log_with_eps(logits, ent_coef, gen_len):
    """You take softmax and then log with a number added, which shifts the result. Use log_softmax."""
    p = logits.softmax(-1)
    return -ent_coef * (p * (p + 1e-2).log()).sum(-1).mean()


def weights_detached(logits, ent_coef, gen_len):
    """The value is right, but you detached the probabilities that weight the sum, and the gradient is another one."""
    logprobs = logits.log_softmax(-1)
    return -ent_coef * (logprobs.exp().detach() * logprobs).sum(-1).mean()


def no_gradient(logits, ent_coef, gen_len):
    """The value is right, but no gradient reaches the logits (detach or no_grad)."""
    return ent_coef * _entropy(logits).mean().detach()


def plain_number(logits, ent_coef, gen_len):
    """You return a Python number (.item()); without a tensor there is no gradient."""
    return ent_coef * _entropy(logits).mean().item()


def wrong_dimension(logits, ent_coef, gen_len):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    logprobs = logits.log_softmax(1)
    return -ent_coef * (logprobs.exp() * logprobs).sum(-1).mean()


def sliced_again(logits, ent_coef, gen_len):
    """You slice the generated positions once more; the logits come sliced, and this drops the last position."""
    return ent_coef * _entropy(logits[:, -gen_len - 1 : -1]).mean()


def not_averaged(logits, ent_coef, gen_len):
    """You return one number for each position; the bonus is their mean."""
    return ent_coef * _entropy(logits)


def bits(logits, ent_coef, gen_len):
    """You use logarithms to base 2; natural ones are meant."""
    return ent_coef * _entropy(logits).mean() / torch.tensor(2.0).log()


def unweighted(logits, ent_coef, gen_len):
    """You average the log-probabilities without weighting them with the probabilities."""
    return -ent_coef * logits.log_softmax(-1).sum(-1).mean()
