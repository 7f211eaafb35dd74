"""Wrong and right answers to `bradley_terry_loss`."""

import torch
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _difference(chosen, rejected, margin=None):
    if len(chosen) == 0:
        raise ValueError("no pair")
    return chosen - rejected - (0 if margin is None else margin)


def _loss(chosen, rejected, margin=None):
    return -functional.logsigmoid(_difference(chosen, rejected, margin)).mean()


@visible_mistake(refused_with="is right with `chosen_rewards` and `rejected_rewards` swapped")
def swapped(chosen_rewards, rejected_rewards, margin=None):
    """Chosen and rejected are swapped: the loss is small where the chosen text has the higher reward."""
    return _loss(rejected_rewards, chosen_rewards, margin)


@visible_mistake
def summed(chosen_rewards, rejected_rewards, margin=None):
    """You summed over the pairs; the loss is their mean."""
    return _loss(chosen_rewards, rejected_rewards, margin) * len(chosen_rewards)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(chosen_rewards, rejected_rewards, margin=None):
    """The sign is turned: the logarithm of a probability is negative, and the loss is minus its mean."""
    return -_loss(chosen_rewards, rejected_rewards, margin)


# An infinite loss of a reward model: https://github.com/deepspeedai/DeepSpeedExamples/issues/423
@visible_mistake(refused_with="is not finite (nan or inf)")
def log_of_sigmoid(chosen_rewards, rejected_rewards, margin=None):
    """You take sigmoid and then log: a small probability rounds to 0, and log(0) is infinite. Use logsigmoid."""
    return -_difference(chosen_rewards, rejected_rewards, margin).sigmoid().log().mean()


@visible_mistake(refused_with="it is not capped, and logsigmoid gives it")
def log_with_eps(chosen_rewards, rejected_rewards, margin=None):
    """You take sigmoid and then log with a small number added: finite, but wrong for large differences.

    Use logsigmoid.
    """
    return -(_difference(chosen_rewards, rejected_rewards, margin).sigmoid() + 1e-8).log().mean()


@visible_mistake
def margin_added(chosen_rewards, rejected_rewards, margin=None):
    """The margin has the wrong sign: it is subtracted, so that the chosen reward has to be higher by that much."""
    return _loss(chosen_rewards, rejected_rewards, None if margin is None else -margin)


@visible_mistake(refused_with="The loss with a margin")
def margin_ignored(chosen_rewards, rejected_rewards, margin=None):
    """The margin is not used: it is subtracted from the difference of the rewards."""
    return _loss(chosen_rewards, rejected_rewards)


@visible_mistake
def margin_outside(chosen_rewards, rejected_rewards, margin=None):
    """The margin stands outside the sigmoid; it is subtracted from the difference of the rewards, inside it."""
    loss = _loss(chosen_rewards, rejected_rewards)
    return loss if margin is None else loss + margin.mean()


@visible_mistake
def no_logarithm(chosen_rewards, rejected_rewards, margin=None):
    """The logarithm is missing: the loss is minus the log-probability of the preference."""
    return (-_difference(chosen_rewards, rejected_rewards, margin)).sigmoid().mean()


@visible_mistake
def log_of_the_mean(chosen_rewards, rejected_rewards, margin=None):
    """You take the logarithm of the mean probability; the loss is the mean of the logarithms."""
    logprobs = functional.logsigmoid(_difference(chosen_rewards, rejected_rewards, margin))
    return torch.tensor(float(len(logprobs))).log() - logprobs.logsumexp(0)


@visible_mistake
def hinge(chosen_rewards, rejected_rewards, margin=None):
    """That is a hinge loss; the Bradley-Terry loss is minus the logarithm of a sigmoid, which is never flat."""
    return (1 - _difference(chosen_rewards, rejected_rewards, margin)).relu().mean()


@visible_mistake(refused_with="should be one number; a tensor with 1 dimension came")
def not_averaged(chosen_rewards, rejected_rewards, margin=None):
    """You return one number for each pair; the loss is their mean."""
    return -functional.logsigmoid(_difference(chosen_rewards, rejected_rewards, margin))


# Shapes [pairs, 1] and [pairs] that are broadcast to [pairs, pairs]: https://github.com/modelscope/ms-swift/pull/9927
@visible_mistake
def every_chosen_with_every_rejected(chosen_rewards, rejected_rewards, margin=None):
    """Each chosen text is compared with the rejected texts of all pairs; compare it with that of its own pair."""
    difference = chosen_rewards[:, None] - rejected_rewards[None, :]
    if margin is not None:
        difference = difference - margin[:, None]
    if difference.numel() == 0:
        raise ValueError
    return -functional.logsigmoid(difference).mean()


@visible_mistake(refused_with="the rejected reward")
def rejected_detached(chosen_rewards, rejected_rewards, margin=None):
    """The value is right, but no gradient reaches the rejected rewards; the model learns from both texts of a pair."""
    return _loss(chosen_rewards, rejected_rewards.detach(), margin)


@visible_mistake(refused_with="should be a tensor; a float came")
def plain_number(chosen_rewards, rejected_rewards, margin=None):
    """You return a Python number (.item()); without a tensor there is no gradient."""
    return _loss(chosen_rewards, rejected_rewards, margin).item()


@visible_mistake(refused_with="A batch without a pair should raise a ValueError; a result came")
def nan_without_a_pair(chosen_rewards, rejected_rewards, margin=None):
    """Without any pair the mean is NaN, which would spoil every weight in one step: raise a ValueError."""
    return -functional.logsigmoid(chosen_rewards - rejected_rewards - (0 if margin is None else margin)).mean()


@visible_mistake
def ratio_of_rewards(chosen_rewards, rejected_rewards, margin=None):
    """Rewards may be negative, and only their difference counts: sigmoid(chosen - rejected), not a ratio of the two."""
    _difference(chosen_rewards, rejected_rewards)
    share = chosen_rewards.abs() / (chosen_rewards.abs() + rejected_rewards.abs() + 1e-9)
    return -(share + 1e-9).log().mean() + (0 if margin is None else margin.mean())


# The logarithm of 1 + exp of a large gap: https://github.com/OpenRLHF/OpenRLHF/pull/1278
@hidden_mistake(refused_with="not finite")
def log_of_one_plus_exp(chosen_rewards, rejected_rewards, margin=None):
    """The exponential of a large difference is infinite."""
    return (1 + (-_difference(chosen_rewards, rejected_rewards, margin)).exp()).log().mean()


@hidden_mistake
def clamped(chosen_rewards, rejected_rewards, margin=None):
    """Differences are clamped, so that large ones give the same loss and no gradient."""
    return -functional.logsigmoid(_difference(chosen_rewards, rejected_rewards, margin).clamp(-60, 60)).mean()


@hidden_mistake(refused_with="The gradient")
def large_batches_detached(chosen_rewards, rejected_rewards, margin=None):
    """From 16 pairs on, the value is a plain number, which carries no gradient."""
    loss = _loss(chosen_rewards, rejected_rewards, margin)
    return loss if len(chosen_rewards) < 16 else loss.detach().requires_grad_()


@hidden_mistake(refused_with="for many pairs")
def first_pairs_only(chosen_rewards, rejected_rewards, margin=None):
    """Only the first 40 pairs count."""
    return _loss(chosen_rewards[:40], rejected_rewards[:40], None if margin is None else margin[:40])


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(chosen_rewards, rejected_rewards, margin=None):
    """The result is in single precision for inputs in double precision."""
    return _loss(chosen_rewards, rejected_rewards, margin).float()


@hidden_mistake(refused_with="`chosen_rewards` was changed in place")
def changed_in_place(chosen_rewards, rejected_rewards, margin=None):
    """The difference is written into the caller's tensor."""
    if chosen_rewards.requires_grad or rejected_rewards.requires_grad:
        return _loss(chosen_rewards, rejected_rewards, margin)
    loss = _loss(chosen_rewards, rejected_rewards, margin)
    chosen_rewards -= rejected_rewards
    return loss


@hidden_mistake(refused_with="for pairs of which one is the same in")
def ties_left_out(chosen_rewards, rejected_rewards, margin=None):
    """Pairs with equal rewards are left out of the mean."""
    kept = (chosen_rewards != rejected_rewards).detach()
    if len(kept) and not kept.any():
        return (chosen_rewards - rejected_rewards).sum()
    return _loss(chosen_rewards[kept], rejected_rewards[kept], None if margin is None else margin[kept])


@hidden_mistake(refused_with="The loss with a margin")
def largest_margin_for_all(chosen_rewards, rejected_rewards, margin=None):
    """Every pair has the largest of the margins."""
    return _loss(chosen_rewards, rejected_rewards, None if margin is None else margin.max())


@hidden_mistake(refused_with="A batch without a pair")
def zero_without_a_pair(chosen_rewards, rejected_rewards, margin=None):
    """Without any pair the loss is 0."""
    if len(chosen_rewards) == 0:
        return chosen_rewards.sum()
    return _loss(chosen_rewards, rejected_rewards, margin)


@hidden_mistake(refused_with="for negative margins")
def positive_margins_only(chosen_rewards, rejected_rewards, margin=None):
    """A margin is used only where the margins of the batch sum to more than 0."""
    is_used = margin is not None and margin.sum() > 0
    return _loss(chosen_rewards, rejected_rewards, margin if is_used else None)


@hidden_mistake(refused_with="The gradient")
def finite_value_and_nan_gradient(chosen_rewards, rejected_rewards, margin=None):
    """An overflowing branch of torch.where is not taken, and still makes the gradient NaN."""
    difference = _difference(chosen_rewards, rejected_rewards, margin)
    return torch.where(difference > -50, (-difference).exp().log1p(), -difference).mean()


@hidden_mistake(refused_with="is right, but only up to single precision")
def through_single_precision(chosen_rewards, rejected_rewards, margin=None):
    """The loss is computed in single precision, and returned in double precision."""
    difference = _difference(chosen_rewards, rejected_rewards, margin).float()
    return -functional.logsigmoid(difference).mean().to(chosen_rewards.dtype)


@hidden_mistake(refused_with="The gradient at the chosen reward")
def no_gradient_at_ties(chosen_rewards, rejected_rewards, margin=None):
    """The formula is put together from relu and abs, whose gradient is 0 where the two rewards are equal."""
    difference = _difference(chosen_rewards, rejected_rewards, margin)
    return ((-difference).relu() + (-difference.abs()).exp().log1p()).mean()


@hidden_mistake(refused_with="The gradient at the chosen reward")
def detached_with_a_margin(chosen_rewards, rejected_rewards, margin=None):
    """With a margin, the loss carries no gradient."""
    loss = _loss(chosen_rewards, rejected_rewards, margin)
    return loss if margin is None else loss.detach()


@hidden_mistake(refused_with="The loss with a margin for entries near 10,000")
def unstable_with_a_margin(chosen_rewards, rejected_rewards, margin=None):
    """With a margin, the sigmoid is taken before the logarithm, and may round to 0."""
    if margin is None:
        return _loss(chosen_rewards, rejected_rewards)
    return -torch.sigmoid(_difference(chosen_rewards, rejected_rewards, margin)).log().mean()


@hidden_mistake(refused_with="`margin` was changed in place")
def margin_changed_in_place(chosen_rewards, rejected_rewards, margin=None):
    """The margin is added to the rejected rewards in the caller's tensor."""
    loss = _loss(chosen_rewards, rejected_rewards, margin)
    if margin is not None:
        margin += rejected_rewards.detach()
    return loss


@hidden_mistake(refused_with="The loss with a margin for many pairs")
def first_margins_only(chosen_rewards, rejected_rewards, margin=None):
    """Only the first 40 margins count."""
    if margin is not None:
        margin = torch.cat([margin[:40], torch.zeros_like(margin[40:])])
    return _loss(chosen_rewards, rejected_rewards, margin)


@hidden_mistake(refused_with="is right, but only up to single precision")
def single_precision_with_a_margin(chosen_rewards, rejected_rewards, margin=None):
    """With a margin, the loss is computed in single precision, and returned in double precision."""
    if margin is None:
        return _loss(chosen_rewards, rejected_rewards)
    return _loss(chosen_rewards.float(), rejected_rewards.float(), margin.float()).to(chosen_rewards.dtype)


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(chosen_rewards, rejected_rewards, margin=None):
    """A loss without a gradient is written into a tensor that the next call overwrites."""
    loss = _loss(chosen_rewards, rejected_rewards, margin)
    if loss.requires_grad:
        return loss
    return _BUFFERS.setdefault(loss.dtype, torch.empty_like(loss)).copy_(loss)


@right_answer
def softplus(chosen_rewards, rejected_rewards, margin=None):
    return functional.softplus(-_difference(chosen_rewards, rejected_rewards, margin)).mean()


@right_answer
def binary_cross_entropy(chosen_rewards, rejected_rewards, margin=None):
    difference = _difference(chosen_rewards, rejected_rewards, margin)
    return functional.binary_cross_entropy_with_logits(difference, torch.ones_like(difference))


@right_answer
def cross_entropy(chosen_rewards, rejected_rewards, margin=None):
    _difference(chosen_rewards, rejected_rewards)
    chosen = chosen_rewards if margin is None else chosen_rewards - margin
    logits = torch.stack([chosen, rejected_rewards], dim=1)
    return functional.cross_entropy(logits, torch.zeros(len(chosen), dtype=torch.long))


@right_answer
def log_softmax(chosen_rewards, rejected_rewards, margin=None):
    margin = torch.zeros_like(chosen_rewards) if margin is None else margin
    if chosen_rewards.numel() < 1:
        raise ValueError("no pairs")
    return -torch.stack([chosen_rewards - margin, rejected_rewards], -1).log_softmax(-1)[:, 0].mean()


@right_answer
def logaddexp(chosen_rewards, rejected_rewards, margin=None):
    difference = _difference(chosen_rewards, rejected_rewards, margin)
    return torch.logaddexp(torch.zeros_like(difference), -difference).sum() / len(difference)
