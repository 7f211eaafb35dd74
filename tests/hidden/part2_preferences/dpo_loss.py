"""Wrong and right answers to `dpo_loss`."""

import torch
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _rewards(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    chosen = beta * (policy_chosen - reference_chosen.detach())
    return chosen, beta * (policy_rejected - reference_rejected.detach())


def _result(chosen, rejected, losses=None):
    losses = -functional.logsigmoid(chosen - rejected) if losses is None else losses
    return losses, chosen.detach(), rejected.detach()


def _right(*arguments):
    return _result(*_rewards(*arguments))


@visible_mistake(
    refused_with="is `beta` times the right result for a `beta` of 1, so `beta` belongs inside the formula"
)
def beta_outside_the_sigmoid(pc, pr, rc, rr, beta):
    """`beta` stands outside the sigmoid; it multiplies the difference of the log-ratios, inside it."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -beta * functional.logsigmoid((chosen - rejected) / beta))


@visible_mistake
def no_beta_in_the_loss(pc, pr, rc, rr, beta):
    """`beta` is missing in the loss: it multiplies the difference of the log-ratios."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -functional.logsigmoid((chosen - rejected) / beta))


@visible_mistake
def no_beta_in_the_rewards(pc, pr, rc, rr, beta):
    """`beta` is missing in the rewards: an implicit reward is beta times the log-ratio."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses, chosen / beta, rejected / beta


@visible_mistake
def chosen_and_rejected_swapped(pc, pr, rc, rr, beta):
    """Chosen and rejected are swapped in the loss: it is small where the chosen text's log-ratio is the larger one."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -functional.logsigmoid(rejected - chosen))


@visible_mistake
def policy_and_reference_swapped(pc, pr, rc, rr, beta):
    """Policy and reference are swapped: the log-ratio is the policy's log-probability minus the reference's."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(-chosen, -rejected)


@visible_mistake
def without_the_reference(pc, pr, rc, rr, beta):
    """The reference is not used: the loss compares log-ratios, the policy's log-probabilities minus the reference's."""
    return _result(beta * pc, beta * pr)


@visible_mistake
def rewards_in_wrong_order(pc, pr, rc, rr, beta):
    """The rewards come in the wrong order: first those of the chosen texts, then those of the rejected ones."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses, rejected, chosen


@visible_mistake
def averaged(pc, pr, rc, rr, beta):
    """You average the losses; the result has one loss a pair."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses.mean(), chosen, rejected


@visible_mistake
def rewards_averaged(pc, pr, rc, rr, beta):
    """You average the rewards; the result has one reward a text."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses, chosen.mean(), rejected.mean()


@visible_mistake(refused_with="three results")
def loss_alone(pc, pr, rc, rr, beta):
    """You return the losses only; return the rewards of chosen and rejected texts too."""
    return _right(pc, pr, rc, rr, beta)[0]


@visible_mistake
def turned_sign(pc, pr, rc, rr, beta):
    """The sign of the loss is turned: it is minus a log-probability, and so never negative."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return -losses, chosen, rejected


# A loss whose gradients became NaN: https://github.com/thinking-machines-lab/tinker-cookbook/pull/188
@visible_mistake(refused_with="not finite")
def log_of_sigmoid(pc, pr, rc, rr, beta):
    """You take sigmoid and then log: a small probability rounds to 0, and log(0) is infinite. Use logsigmoid."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -(chosen - rejected).sigmoid().log())


@visible_mistake
def log_with_eps(pc, pr, rc, rr, beta):
    """You take sigmoid and then log with a small number added: finite, but wrong for large differences."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -((chosen - rejected).sigmoid() + 1e-8).log())


@visible_mistake(refused_with="reference")
def gradient_to_the_reference(pc, pr, rc, rr, beta):
    """The numbers are right, but a gradient reaches the reference's log-probabilities: the reference is a constant."""
    chosen, rejected = beta * (pc - rc), beta * (pr - rr)
    return _result(chosen, rejected)


@visible_mistake(refused_with="carry a gradient")
def rewards_with_gradient(pc, pr, rc, rr, beta):
    """The numbers are right, but the rewards carry a gradient: they are for the record, so detach them."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return -functional.logsigmoid(chosen - rejected), chosen, rejected


@visible_mistake(refused_with="No gradient")
def rewards_detached_too_early(pc, pr, rc, rr, beta):
    """The rewards are detached before the loss is computed from them, so no gradient reaches the policy."""
    chosen, rejected = (reward.detach() for reward in _rewards(pc, pr, rc, rr, beta))
    return _result(chosen, rejected)


@visible_mistake
def rejected_detached(pc, pr, rc, rr, beta):
    """No gradient reaches the rejected texts' log-probabilities: the policy learns from both texts of a pair."""
    chosen, rejected = _rewards(pc, pr.detach(), rc, rr, beta)
    return _result(chosen, rejected)


@visible_mistake
def squared(pc, pr, rc, rr, beta):
    """That is a squared loss (as in IPO); DPO's is minus the logarithm of a sigmoid."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, ((chosen - rejected) / beta - 1 / (2 * beta)) ** 2)


@visible_mistake
def probability_ratio(pc, pr, rc, rr, beta):
    """You exponentiate the log-ratios; the implicit reward is beta times the log-ratio itself."""
    chosen, rejected = (beta * (reward / beta).exp() for reward in _rewards(pc, pr, rc, rr, beta))
    return _result(chosen, rejected)


@hidden_mistake
def clamped(pc, pr, rc, rr, beta):
    """Differences are clamped, so that large ones give the same loss and no gradient."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, -functional.logsigmoid((chosen - rejected).clamp(-80, 80)))


@hidden_mistake(refused_with="for many pairs")
def first_pairs_only(pc, pr, rc, rr, beta):
    """From the 41st pair on, the losses are 0."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses * (torch.arange(len(losses)) < 40), chosen, rejected


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(pc, pr, rc, rr, beta):
    """The results are in single precision for inputs in double precision."""
    return tuple(part.float() for part in _right(pc, pr, rc, rr, beta))


@hidden_mistake(refused_with="was changed in place")
def changed_in_place(pc, pr, rc, rr, beta):
    """The log-ratio is written into the caller's tensor."""
    result = tuple(part.clone() for part in _right(pc, pr, rc, rr, beta))
    if not pc.requires_grad:
        pc -= rc.detach()
    return result


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(pc, pr, rc, rr, beta):
    """The rewards are written into tensors that the next call overwrites."""
    losses, *rewards = _right(pc, pr, rc, rr, beta)
    key = (len(pc), pc.dtype)
    buffers = _BUFFERS.setdefault(key, [torch.empty_like(reward) for reward in rewards])
    return losses, *(buffer.copy_(reward) for buffer, reward in zip(buffers, rewards, strict=True))


@hidden_mistake
def beta_capped(pc, pr, rc, rr, beta):
    """A beta above 1 counts as 1."""
    return _right(pc, pr, rc, rr, min(beta, 1.0))


@hidden_mistake
def rewards_relative(pc, pr, rc, rr, beta):
    """The rewards are centred, pair by pair."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    mean = (chosen + rejected) / 2
    return losses, chosen - mean, rejected - mean


@hidden_mistake(refused_with="for pairs of which one is the same in")
def equal_pairs_have_no_loss(pc, pr, rc, rr, beta):
    """Pairs without any difference have no loss."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return torch.where(chosen == rejected, losses * 0, losses), chosen, rejected


@hidden_mistake(refused_with="The gradient")
def large_batches_detached(pc, pr, rc, rr, beta):
    """From 16 pairs on, the losses carry no gradient."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return (losses if len(losses) < 16 else losses.detach().requires_grad_()), chosen, rejected


# `beta` of softplus is not that of the loss: the result is divided by it.
@visible_mistake(refused_with="divided by `beta`")
def softplus_with_beta(pc, pr, rc, rr, beta):
    """`softplus(x, beta=beta)` divides by beta: multiply the difference by beta, and use softplus without it."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return _result(chosen, rejected, functional.softplus(-(chosen - rejected) / beta, beta=beta))


@hidden_mistake(refused_with="switches gradients off")
def gradients_switched_off(pc, pr, rc, rr, beta):
    """Gradients are switched off for the rewards, and not on again."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    losses = -functional.logsigmoid(chosen - rejected)
    torch.set_grad_enabled(False)
    return losses, chosen + 0, rejected + 0


@hidden_mistake(refused_with="whether `reference_chosen_logps` requires a gradient")
def reference_flag_changed(pc, pr, rc, rr, beta):
    """The caller's reference log-probabilities no longer require a gradient."""
    for reference in (rc, rr):
        if reference.is_leaf:
            reference.requires_grad_(False)
    return _right(pc, pr, rc, rr, beta)


@hidden_mistake(refused_with="The gradient at the policy's log-probability of the chosen text")
def no_gradient_at_the_start(pc, pr, rc, rr, beta):
    """The formula is put together from relu and abs, whose gradient is 0 where the policy is the reference."""
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    gap = chosen - rejected
    return _result(chosen, rejected, (-gap).relu() + (-gap.abs()).exp().log1p())


@hidden_mistake(refused_with="where the reference's log-probabilities require one")
def policy_detached_with_the_reference(pc, pr, rc, rr, beta):
    """Where the reference's log-probabilities require a gradient, the losses carry none at all."""
    losses, chosen, rejected = _right(pc, pr, rc, rr, beta)
    return losses.detach() if rc.requires_grad else losses, chosen, rejected


@right_answer
def by_log_ratios(pc, pr, rc, rr, beta):
    with torch.no_grad():
        rewards = beta * (pc - rc), beta * (pr - rr)
    difference = (pc - pr) - (rc - rr).detach()
    return -functional.logsigmoid(beta * difference), *rewards


@right_answer
def softplus(pc, pr, rc, rr, beta):
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    return functional.softplus(rejected - chosen), chosen.detach(), rejected.detach()


@right_answer
def binary_cross_entropy(pc, pr, rc, rr, beta):
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    ones = torch.ones_like(chosen)
    return _result(
        chosen, rejected, functional.binary_cross_entropy_with_logits(chosen - rejected, ones, reduction="none")
    )


@right_answer
def log_softmax(pc, pr, rc, rr, beta):
    rewards = torch.stack(_rewards(pc, pr, rc, rr, beta))
    return [-rewards.log_softmax(0)[0], *rewards.detach()]


@right_answer
def logaddexp(pc, pr, rc, rr, beta):
    chosen, rejected = _rewards(pc, pr, rc, rr, beta)
    difference = rejected - chosen
    return torch.logaddexp(difference, torch.zeros_like(difference)), chosen.data, rejected.data
