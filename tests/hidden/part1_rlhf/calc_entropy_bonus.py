"""Wrong and right answers to `calc_entropy_bonus`."""

import torch
from einops import einsum
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _entropy(logits):
    logprobs = logits.log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum(-1)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(logits, ent_coef, gen_len):
    """The sign is wrong: an entropy is never negative, but p * log p is, so the entropy is minus its sum."""
    return -ent_coef * _entropy(logits).mean()


@visible_mistake
def sums_over_positions(logits, ent_coef, gen_len):
    """You summed the entropy over positions; it is a mean."""
    return ent_coef * _entropy(logits).sum(-1).mean()


@visible_mistake
def sums_over_everything(logits, ent_coef, gen_len):
    """You summed the entropy over texts and positions; it is a mean over both."""
    return ent_coef * _entropy(logits).sum()


@visible_mistake
def averages_over_the_vocabulary(logits, ent_coef, gen_len):
    """You averaged over the vocabulary too; an entropy is a sum over it, and the mean is over texts and positions."""
    logprobs = logits.log_softmax(-1)
    return -ent_coef * (logprobs.exp() * logprobs).mean()


@visible_mistake(refused_with="is right but for `ent_coef`, which is not used")
def no_coefficient(logits, ent_coef, gen_len):
    """`ent_coef` is missing: the bonus is the mean entropy times the coefficient."""
    return _entropy(logits).mean()


@visible_mistake(refused_with="The bonus for entries near 10,000 and -10,000 is not finite (nan or inf)")
def softmax_then_log(logits, ent_coef, gen_len):
    """You take softmax and then log: probabilities round to 0, and 0 * log(0) is not a number. Use log_softmax."""
    p = logits.softmax(-1)
    return -ent_coef * (p * p.log()).sum(-1).mean()


@visible_mistake
def log_with_eps(logits, ent_coef, gen_len):
    """You take softmax and then log with a number added, which shifts the result. Use log_softmax."""
    p = logits.softmax(-1)
    return -ent_coef * (p * (p + 1e-2).log()).sum(-1).mean()


@visible_mistake(refused_with="the probabilities too: detach none of them")
def weights_detached(logits, ent_coef, gen_len):
    """The value is right, but you detached the probabilities that weight the sum, so the gradient is wrong."""
    logprobs = logits.log_softmax(-1)
    return -ent_coef * (logprobs.exp().detach() * logprobs).sum(-1).mean()


@visible_mistake(refused_with="No gradient of the bonus reaches the logits, so it cannot keep the policy")
def no_gradient(logits, ent_coef, gen_len):
    """The value is right, but no gradient reaches the logits (detach or no_grad)."""
    return ent_coef * _entropy(logits).mean().detach()


@visible_mistake(refused_with="should be a tensor; a float came")
def plain_number(logits, ent_coef, gen_len):
    """You return a Python number (.item()); without a tensor there is no gradient."""
    return ent_coef * _entropy(logits).mean().item()


@visible_mistake
def wrong_dimension(logits, ent_coef, gen_len):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    logprobs = logits.log_softmax(1)
    return -ent_coef * (logprobs.exp() * logprobs).sum(-1).mean()


@visible_mistake
def sliced_again(logits, ent_coef, gen_len):
    """You slice the generated positions again; the logits are sliced already, and this drops the last position."""
    return ent_coef * _entropy(logits[:, -gen_len - 1 : -1]).mean()


@visible_mistake(refused_with="should be one number; a tensor with 2 dimensions came")
def not_averaged(logits, ent_coef, gen_len):
    """You return one number for each position; the bonus is their mean."""
    return ent_coef * _entropy(logits)


@visible_mistake
def bits(logits, ent_coef, gen_len):
    """You use logarithms to base 2; use natural ones."""
    return ent_coef * _entropy(logits).mean() / torch.tensor(2.0).log()


@visible_mistake
def unweighted(logits, ent_coef, gen_len):
    """You average the log-probabilities without weighting them with the probabilities."""
    return -ent_coef * logits.log_softmax(-1).sum(-1).mean()


def _entropy_of_logprobs(logprobs):
    return -(logprobs.exp() * logprobs).sum(-1)


@hidden_mistake(refused_with="it is the logarithm of the vocabulary's size: every token counts, whatever")
def likeliest_tokens_only(logits, ent_coef, gen_len):
    """The sum is over the ten likeliest tokens only."""
    logprobs = logits.log_softmax(-1)
    return ent_coef * _entropy_of_logprobs(logprobs.topk(min(10, logprobs.shape[-1]), dim=-1).values).mean()


@hidden_mistake(refused_with="`logits` was changed in place")
def normalised_in_place(logits, ent_coef, gen_len):
    """The logits become log-probabilities, in the caller's tensor."""
    shared = logits.detach()
    shared -= shared.logsumexp(-1, keepdim=True)
    return ent_coef * _entropy_of_logprobs(logits.log_softmax(-1)).mean()


@hidden_mistake
def share_of_the_largest(logits, ent_coef, gen_len):
    """The entropy is divided by the largest that the vocabulary allows."""
    largest = logits.new_tensor(float(logits.shape[-1])).log()
    return ent_coef * (_entropy_of_logprobs(logits.log_softmax(-1)) / largest).mean()


@hidden_mistake
def perplexity(logits, ent_coef, gen_len):
    """The bonus is the perplexity, the exponential of the entropy."""
    return ent_coef * _entropy_of_logprobs(logits.log_softmax(-1)).exp().mean()


@hidden_mistake
def surprise_of_the_likeliest(logits, ent_coef, gen_len):
    """Only the surprise at the likeliest token counts."""
    return -ent_coef * logits.log_softmax(-1).max(-1).values.mean()


@hidden_mistake(refused_with="tokens is too small")
def likeliest_hundred_renormalised(logits, ent_coef, gen_len):
    """Only the hundred likeliest tokens count, as if there were no others."""
    likeliest = logits.topk(min(100, logits.shape[-1]), dim=-1).values
    return ent_coef * _entropy(likeliest).mean()


@hidden_mistake(refused_with="tokens is too small")
def unlikely_tokens_left_out(logits, ent_coef, gen_len):
    """Tokens with a probability below 1e-4 do not count."""
    logprobs = logits.log_softmax(-1)
    p = logprobs.exp()
    return -ent_coef * (p * logprobs).masked_fill(p < 1e-4, 0.0).sum(-1).mean()


@hidden_mistake(refused_with="of 50,257 tokens")
def end_of_text_left_out(logits, ent_coef, gen_len):
    """GPT-2's end-of-text token does not count."""
    logprobs = logits.log_softmax(-1)[..., :50256]
    return ent_coef * _entropy_of_logprobs(logprobs).mean()


@visible_mistake(refused_with="RuntimeError")
def viewed(logits, ent_coef, gen_len):
    """The logits are viewed as a matrix, which slices as the trainer passes them do not allow: use
    reshape."""
    return ent_coef * _entropy(logits.view(-1, logits.shape[-1])).mean()


_CALLS = []


@hidden_mistake
def fades(logits, ent_coef, gen_len):
    """The bonus becomes smaller with each call."""
    _CALLS.append(None)
    return ent_coef * _entropy(logits).mean() / (1 + 0.01 * (len(_CALLS) - 1))


_BY_SIZE = {}


@hidden_mistake
def kept_by_size(logits, ent_coef, gen_len):
    """The entropy is computed once for each size of the logits, and kept."""
    if len(_BY_SIZE) > 2:  # A dictionary that is small forgets what other tests passed.
        _BY_SIZE.clear()
    if logits.requires_grad or logits.shape not in _BY_SIZE:
        _BY_SIZE[logits.shape] = _entropy(logits).mean().detach()
    return ent_coef * (_entropy(logits).mean() if logits.requires_grad else _BY_SIZE[logits.shape])


@hidden_mistake(refused_with="detach none of them")
def normaliser_detached(logits, ent_coef, gen_len):
    """No gradient flows through the normaliser."""
    logprobs = logits - logits.logsumexp(-1, keepdim=True).detach()
    return ent_coef * _entropy_of_logprobs(logprobs).mean()


@hidden_mistake(refused_with="The bonus of tokens that are all as likely")
def zeros_are_padding(logits, ent_coef, gen_len):
    """A position whose logits are all zero is taken for padding, and does not count."""
    kept = logits.detach().any(-1)
    return ent_coef * (_entropy(logits) * kept).sum() / kept.sum().clamp(min=1)


@hidden_mistake(refused_with="`ent_coef` times the mean entropy")
def another_coefficient_for_0(logits, ent_coef, gen_len):
    """A coefficient of 0 counts as 0.001."""
    return (ent_coef or 0.001) * _entropy(logits).mean()


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
def single_precision(logits, ent_coef, gen_len):
    """The bonus has single precision, whatever the logits have."""
    return ent_coef * _entropy(logits.float()).mean()


@hidden_mistake
def capped(logits, ent_coef, gen_len):
    """The entropy of a position is at most 5."""
    return ent_coef * _entropy(logits).clamp(max=5.0).mean()


@hidden_mistake(refused_with="The bonus of one token that is nearly certain is zero")
def small_entropies_rounded_off(logits, ent_coef, gen_len):
    """Entropies below 0.02 are taken for 0."""
    entropies = _entropy(logits)
    return ent_coef * entropies.masked_fill(entropies < 0.02, 0.0).mean()


@hidden_mistake(refused_with="The gradient of the bonus for entries near 10,000 and -10,000 is not finite")
def special_entropy_function(logits, ent_coef, gen_len):
    """The gradient of torch.special.entr is not finite where a probability rounds to 0."""
    return ent_coef * torch.special.entr(logits.softmax(-1)).sum(-1).mean()


@hidden_mistake(refused_with="The bonus for many texts of many tokens")
def first_positions_only(logits, ent_coef, gen_len):
    """Only the first 32 positions count."""
    return ent_coef * _entropy(logits[:, :32]).mean()


@hidden_mistake(refused_with="The bonus for one generated token")
def at_least_two_positions(logits, ent_coef, gen_len):
    """The sum over positions is divided by at least 2."""
    return ent_coef * _entropy(logits).sum(-1).mean() / max(gen_len, 2)


@hidden_mistake(refused_with="The gradient of the bonus")
def gradient_of_likely_tokens_only(logits, ent_coef, gen_len):
    """No gradient reaches tokens with a probability below 0.002."""
    p = logits.detach().softmax(-1)
    return ent_coef * _entropy(torch.where(p < 2e-3, logits.detach(), logits)).mean()


@hidden_mistake(refused_with="The bonus for texts of which two are equal")
def distinct_rows_only(logits, ent_coef, gen_len):
    """The mean is over distinct rows, so that rows that occur several times count once."""
    rows = logits.flatten(0, 1)
    numbers = {tuple(row.tolist()): number for number, row in enumerate(rows.detach())}
    return ent_coef * _entropy(rows[list(numbers.values())]).mean()


@hidden_mistake(refused_with="The call changed whether `logits` requires a gradient")
def turns_gradients_on(logits, ent_coef, gen_len):
    """The caller's logits require a gradient after the call."""
    if logits.is_leaf:
        logits.requires_grad_(True)
    return ent_coef * _entropy(logits).mean()


@hidden_mistake(refused_with="is missing, while other calls have one")
def extreme_logits_detached(logits, ent_coef, gen_len):
    """Where logits are extreme, the bonus carries no gradient."""
    is_extreme = bool((logits.detach().abs() > 1000).any())
    return ent_coef * _entropy(logits.detach() if is_extreme else logits).mean()


@hidden_mistake(refused_with="A call seeds torch")
def seeds_torch(logits, ent_coef, gen_len):
    """Torch is seeded in each call, so that what is sampled later does not depend on the run's seed."""
    torch.manual_seed(0)
    return ent_coef * _entropy(logits).mean()


@right_answer
def library_distribution(logits, ent_coef, gen_len):
    return ent_coef * torch.distributions.Categorical(logits=logits).entropy().mean()


@right_answer
def softmax_as_weights(logits, ent_coef, gen_len):
    return -ent_coef * (logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()


@right_answer
def logsumexp(logits, ent_coef, gen_len):
    normaliser = logits.logsumexp(-1)
    return ent_coef * (normaliser - (logits.softmax(-1) * logits).sum(-1)).mean()


@right_answer
def cross_entropy_with_itself(logits, ent_coef, gen_len):
    flat = logits.flatten(0, 1)
    return ent_coef * functional.cross_entropy(flat, flat.softmax(-1))


@right_answer
def with_einsum(logits, ent_coef, gen_len):
    logprobs = functional.log_softmax(logits, dim=-1)
    return ent_coef * -einsum(logprobs.exp(), logprobs, "b g v, b g v -> b g").mean()


@right_answer
def one_text_at_a_time(logits, ent_coef, gen_len):
    print("entropy of", len(logits), "texts")
    total = logits.new_zeros(())
    for text in logits:
        total = total + torch.stack([_entropy(position) for position in text]).sum()
    return ent_coef * total / (len(logits) * gen_len)


def _scaled(function):
    def wrapper(logits, ent_coef, gen_len):
        return function(logits) * ent_coef

    return wrapper


@right_answer
def decorated(logits, ent_coef, gen_len):
    mean_entropy = _scaled(lambda values: torch.distributions.Categorical(logits=values).entropy().mean((0, 1)))
    return mean_entropy(logits, ent_coef, gen_len)
