"""Wrong and right answers to `grpo_clip_loss`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _ratio(new, old):
    return torch.exp(new - old.detach())


def _pair(new, old, advantages, low, high):
    ratio, constant = _ratio(new, old), advantages.detach()
    return ratio * constant, ratio.clip(1 - low, 1 + high) * constant


def _right(new, old, advantages, low, high):
    return -torch.minimum(*_pair(new, old, advantages, low, high))


@visible_mistake(refused_with="has the wrong sign")
def objective(new, old, advantages, low, high):
    """The sign is that of an objective, which is ascended; a loss is descended, so it has a minus."""
    return torch.minimum(*_pair(new, old, advantages, low, high))


@visible_mistake
def clipped_without_the_minimum(new, old, advantages, low, high):
    """You always take the clipped ratio; take the smaller of the two products, or a wrong change is never mended."""
    return -_pair(new, old, advantages, low, high)[1]


@visible_mistake
def never_clipped(new, old, advantages, low, high):
    """Nothing is clipped: take the smaller of ratio times advantage and clipped ratio times advantage."""
    return -_pair(new, old, advantages, low, high)[0]


@visible_mistake
def larger_of_both(new, old, advantages, low, high):
    """You take the larger of the two products (or the smaller of the two losses); the loss is minus the smaller one."""
    return -torch.maximum(*_pair(new, old, advantages, low, high))


@visible_mistake
def smaller_ratio(new, old, advantages, low, high):
    """You take the smaller ratio and then multiply; for advantages below 0 the smaller product has the larger ratio."""
    ratio = _ratio(new, old)
    return -torch.minimum(ratio, ratio.clip(1 - low, 1 + high)) * advantages.detach()


@visible_mistake
def low_for_both(new, old, advantages, low, high):
    """clip_low is used for both bounds; the upper one is 1 + clip_high."""
    return _right(new, old, advantages, low, low)


@visible_mistake
def high_for_both(new, old, advantages, low, high):
    """clip_high is used for both bounds; the lower one is 1 - clip_low."""
    return _right(new, old, advantages, high, high)


@visible_mistake
def bounds_swapped(new, old, advantages, low, high):
    """The two bounds are swapped: the ratio lies between 1 - clip_low and 1 + clip_high."""
    return _right(new, old, advantages, high, low)


@visible_mistake
def bounds_without_one(new, old, advantages, low, high):
    """The ratio is clipped to -clip_low and clip_high; the bounds lie around 1, which is no change."""
    return _right(new, old, advantages, 1 + low, high - 1)


@visible_mistake
def ratio_upside_down(new, old, advantages, low, high):
    """The ratio is upside down: it is the probability under the policy as it is now, over that under the old one."""
    return -torch.minimum(
        (old.detach() - new).exp() * advantages.detach(),
        (old.detach() - new).exp().clip(1 - low, 1 + high) * advantages.detach(),
    )


@visible_mistake
def difference_for_ratio(new, old, advantages, low, high):
    """The ratio is that of probabilities: take the exponential of the difference of the log-probabilities."""
    difference = 1 + new - old.detach()
    constant = advantages.detach()
    return -torch.minimum(difference * constant, difference.clip(1 - low, 1 + high) * constant)


@visible_mistake
def log_ratio_for_ratio(new, old, advantages, low, high):
    """You take the difference of the log-probabilities for the ratio; the ratio is its exponential."""
    log_ratio, constant = new - old.detach(), advantages.detach()
    return -torch.minimum(log_ratio * constant, log_ratio.clip(1 - low, 1 + high) * constant)


@visible_mistake
def product_clipped(new, old, advantages, low, high):
    """You clip the product of ratio and advantage; clip the ratio, and multiply it by the advantage afterwards."""
    free = _ratio(new, old) * advantages.detach()
    return -torch.minimum(free, free.clip(1 - low, 1 + high))


@visible_mistake
def product_clipped_without_the_minimum(new, old, advantages, low, high):
    """You clip the product of ratio and advantage; clip the ratio, and take the smaller of the two products."""
    return -(_ratio(new, old) * advantages.detach()).clip(1 - low, 1 + high)


@visible_mistake
def quotient_of_logprobs(new, old, advantages, low, high):
    """You divide log-probabilities; divide probabilities, which is the exponential of the logs' difference."""
    quotient = new / old.detach()
    constant = advantages.detach()
    return -torch.minimum(quotient * constant, quotient.clip(1 - low, 1 + high) * constant)


@visible_mistake(refused_with="No gradient")
def no_gradient(new, old, advantages, low, high):
    """The value is right, but no gradient reaches the log-probabilities, so nothing can learn from it."""
    return _right(new, old, advantages, low, high).detach()


@visible_mistake(refused_with="old_logprobs")
def gradient_to_the_old(new, old, advantages, low, high):
    """The numbers are right, but a gradient reaches the old log-probabilities: they are constants, so detach them."""
    ratio = (new - old).exp()
    constant = advantages.detach()
    return -torch.minimum(ratio * constant, ratio.clip(1 - low, 1 + high) * constant)


@visible_mistake(refused_with="advantages")
def gradient_to_the_advantages(new, old, advantages, low, high):
    """The numbers are right, but a gradient reaches the advantages: they are constants, so detach them."""
    ratio = _ratio(new, old)
    return -torch.minimum(ratio * advantages, ratio.clip(1 - low, 1 + high) * advantages)


@visible_mistake(refused_with="A gradient of the loss reaches")
def nothing_detached(new, old, advantages, low, high):
    """The numbers are right, but gradients reach the old log-probabilities and the advantages: detach both."""
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clip(1 - low, 1 + high) * advantages)


@visible_mistake
def averaged(new, old, advantages, low, high):
    """You average the losses; the result has one for each token, and `aggregate_loss` averages them."""
    return _right(new, old, advantages, low, high).mean()


@visible_mistake
def one_a_text(new, old, advantages, low, high):
    """You return one loss a text; the result has one for each token, [batch, gen]."""
    return _right(new, old, advantages, low, high).mean(1)


# A ratio that is always 1 in its value, and still has a gradient: https://github.com/huggingface/trl/issues/2703
@visible_mistake
def ratio_of_one(new, old, advantages, low, high):
    """The ratio is always 1, since the policy's own log-probabilities are subtracted: subtract the old ones."""
    return _right(new, new, advantages, low, high)


@visible_mistake
def log_probability_times_advantage(new, old, advantages, low, high):
    """That is REINFORCE's loss, without a ratio: it is right for one step on a rollout alone."""
    return -new * advantages.detach()


@visible_mistake
def advantages_normalised(new, old, advantages, low, high):
    """You normalise the advantages over the batch; they come as they are to be used."""
    spread = advantages.std() if advantages.numel() > 1 else 1.0
    return _right(new, old, (advantages - advantages.mean()) / (spread + 1e-8), low, high)


@visible_mistake
def log_ratio_clipped(new, old, advantages, low, high):
    """The log-ratio is clipped to -clip_low and clip_high; clip the ratio, between 1 - clip_low and 1 + clip_high."""
    log_ratio, constant = new - old.detach(), advantages.detach()
    return -torch.minimum(log_ratio.exp() * constant, log_ratio.clip(-low, high).exp() * constant)


@visible_mistake
def clipped_tokens_masked(new, old, advantages, low, high):
    """Tokens outside the bounds have a loss of 0; they keep the loss at the bound, which has no gradient."""
    free, clipped = _pair(new, old, advantages, low, high)
    return torch.where(free > clipped, torch.zeros_like(new), -free)


@visible_mistake(refused_with="was changed in place")
def changed_in_place(new, old, advantages, low, high):
    """The numbers are right, but the old log-probabilities of the caller are overwritten; make a new tensor."""
    result = _right(new, old, advantages, low, high)
    if not old.requires_grad:
        old.copy_(new.detach())
    return result


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(new, old, advantages, low, high):
    """The result is in single precision for inputs in double precision."""
    return _right(new, old, advantages, low, high).float()


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def squeezed(new, old, advantages, low, high):
    """A batch of one text loses a dimension."""
    return _right(new, old, advantages, low, high).squeeze(0)


@hidden_mistake
def advantages_of_the_first_token(new, old, advantages, low, high):
    """The advantage of a text's first token is used for all its tokens."""
    return _right(new, old, advantages[:, :1].expand(new.shape), low, high)


@hidden_mistake(refused_with="for ratios far from 1")
def ratio_capped(new, old, advantages, low, high):
    """The log-ratio is capped at 5, so that a ratio is never above 148."""
    return _right((new - old.detach()).clamp(max=5.0) + old.detach(), old, advantages, low, high)


@hidden_mistake(refused_with="for many texts")
def first_texts_only(new, old, advantages, low, high):
    """From the 41st text on, the losses are 0."""
    return _right(new, old, advantages, low, high) * (torch.arange(len(new)) < 40)[:, None]


@hidden_mistake(refused_with="The gradient")
def gradient_of_clipped_tokens(new, old, advantages, low, high):
    """A token outside the bounds passes a gradient on, as if it were not clipped."""
    free, clipped = _pair(new, old, advantages, low, high)
    return -(free + (torch.minimum(free, clipped) - free).detach())


@hidden_mistake(refused_with="The gradient")
def gradient_of_the_log(new, old, advantages, low, high):
    """The gradient is that of the log-probability, without the ratio as a factor."""
    value = _right(new, old, advantages, low, high)
    free, clipped = _pair(new, old, advantages, low, high)
    surrogate = -(new * advantages.detach() * (free <= clipped))
    return value.detach() + surrogate - surrogate.detach()


@hidden_mistake(refused_with="The gradient")
def no_gradient_at_the_start(new, old, advantages, low, high):
    """Where the ratio is 1, as at the first step on a rollout, no gradient flows."""
    apart = (new != old).detach()
    value = _right(new, old, advantages, low, high)
    return torch.where(apart, value, value.detach())


@hidden_mistake(refused_with="with other bounds")
def zero_is_no_bound(new, old, advantages, low, high):
    """A bound of 0 counts as one that is not given, and is 0.2."""
    return _right(new, old, advantages, low or 0.2, high or 0.2)


@hidden_mistake(refused_with="with other bounds")
def high_capped(new, old, advantages, low, high):
    """clip_high is at most 1."""
    return _right(new, old, advantages, low, min(high, 1.0))


@hidden_mistake
def detached_with_the_old(new, old, advantages, low, high):
    """Where the old log-probabilities require a gradient, the losses carry none at all."""
    value = _right(new, old, advantages, low, high)
    return value.detach() if old.requires_grad else value


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(new, old, advantages, low, high):
    """Without gradients, the losses are written into a tensor that the next call overwrites."""
    value = _right(new, old, advantages, low, high)
    if value.requires_grad:
        return value
    key = (tuple(value.shape), value.dtype)
    return _BUFFERS.setdefault(key, torch.empty_like(value)).copy_(value)


@hidden_mistake(refused_with="The gradient")
def large_batches_detached(new, old, advantages, low, high):
    """From 16 texts on, the losses carry no gradient."""
    value = _right(new, old, advantages, low, high)
    return value if len(value) < 16 else value.detach().requires_grad_()


@hidden_mistake(refused_with="is not finite")
def quotient_of_probabilities(new, old, advantages, low, high):
    """Probabilities are divided, of which a small one rounds to 0."""
    ratio, constant = new.exp() / old.detach().exp(), advantages.detach()
    return -torch.minimum(ratio * constant, ratio.clip(1 - low, 1 + high) * constant)


@hidden_mistake
def rounded_to_half(new, old, advantages, low, high):
    """The ratio is computed in half precision."""
    ratio = (new - old.detach()).bfloat16().exp().to(new.dtype)
    constant = advantages.detach()
    return -torch.minimum(ratio * constant, ratio.clip(1 - low, 1 + high) * constant)


@hidden_mistake(refused_with="for large ratios and negative advantages")
def log_ratio_kept_within_twenty(new, old, advantages, low, high):
    """The log-ratio is kept between -20 and 20, so that a ratio is never above half a billion."""
    return _right((new - old.detach()).clamp(-20.0, 20.0) + old.detach(), old, advantages, low, high)


@hidden_mistake(refused_with="where NaN stands at padding")
def spread_over_the_batch(new, old, advantages, low, high):
    """All losses are NaN where one is: their sum is added and subtracted again."""
    losses = _right(new, old, advantages, low, high)
    return losses + 0.0 * losses.sum()


@right_answer
def larger_loss(new, old, advantages, low, high):
    free, clipped = _pair(new, old, advantages, low, high)
    return torch.maximum(-free, -clipped)


@right_answer
def by_the_sign(new, old, advantages, low, high):
    ratio, constant = _ratio(new, old), advantages.detach()
    return -constant * torch.where(constant > 0, ratio.clamp(max=1 + high), ratio.clamp(min=1 - low))


@right_answer
def by_where(new, old, advantages, low, high):
    free, clipped = _pair(new, old, advantages, low, high)
    return torch.where(free < clipped, free, clipped).neg()


@right_answer
def without_gradient_at_the_constants(new, old, advantages, low, high):
    with torch.no_grad():
        old, advantages = old + 0, advantages + 0
    ratio = torch.exp(new - old)
    bounds = torch.clamp(ratio, min=1.0 - low, max=1.0 + high)
    return torch.min(-ratio * -advantages, bounds * advantages) * -1


@right_answer
def stacked(new, old, advantages, low, high):
    return torch.stack([-product for product in _pair(new, old, advantages, low, high)]).amax(0)


@right_answer
def row_by_row(new, old, advantages, low, high):
    rows = zip(new, old, advantages, strict=True)
    return torch.stack([_right(*row, low, high) for row in rows])
