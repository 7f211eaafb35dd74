"""Wrong and right answers to `normalize_rewards`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _require_spread(reference_rewards):
    if reference_rewards.min() == reference_rewards.max():
        raise ValueError("equal")


def _right(rewards, reference_rewards):
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.mean()) / (reference_rewards.std() + 1e-8)


# What a batch's own statistics destroy, in a review: https://github.com/HumanCompatibleAI/imitation/pull/425
@visible_mistake
def statistics_of_the_batch(rewards, reference_rewards):
    """You use mean and deviation of the rewards themselves; the scale is that of the reference's texts."""
    _require_spread(reference_rewards)
    return (rewards - rewards.mean()) / (rewards.std() + 1e-8)


@visible_mistake
def statistics_of_both(rewards, reference_rewards):
    """You use mean and deviation of both tensors together; the scale is that of the reference's texts alone."""
    _require_spread(reference_rewards)
    both = torch.cat([rewards, reference_rewards])
    return (rewards - both.mean()) / (both.std() + 1e-8)


@visible_mistake
def mean_of_the_batch(rewards, reference_rewards):
    """You subtract the mean of the rewards themselves; subtract the mean of the reference's."""
    _require_spread(reference_rewards)
    return (rewards - rewards.mean()) / (reference_rewards.std() + 1e-8)


@visible_mistake
def deviation_of_the_batch(rewards, reference_rewards):
    """You divide by the deviation of the rewards themselves; divide by the deviation of the reference's."""
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.mean()) / (rewards.std() + 1e-8)


@visible_mistake
def only_shifted(rewards, reference_rewards):
    """You subtract the mean, and do not divide by the deviation."""
    _require_spread(reference_rewards)
    return rewards - reference_rewards.mean()


@visible_mistake
def only_scaled(rewards, reference_rewards):
    """You divide by the deviation, and do not subtract the mean."""
    _require_spread(reference_rewards)
    return rewards / (reference_rewards.std() + 1e-8)


@visible_mistake
def divided_by_the_variance(rewards, reference_rewards):
    """You divide by the variance; divide by its square root, the standard deviation."""
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.mean()) / (reference_rewards.var() + 1e-8)


@visible_mistake
def reference_normalised(rewards, reference_rewards):
    """The two arguments are swapped: the rewards are put on the scale of the reference's."""
    _require_spread(reference_rewards)
    return (reference_rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-8)


@visible_mistake
def from_0_to_1(rewards, reference_rewards):
    """You scale by the smallest and largest reward of the reference; use its mean and its standard deviation."""
    low, high = reference_rewards.min(), reference_rewards.max()
    _require_spread(reference_rewards)
    return (rewards - low) / (high - low + 1e-8)


@visible_mistake
def median(rewards, reference_rewards):
    """You subtract the median of the reference's rewards; subtract their mean."""
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.median()) / (reference_rewards.std() + 1e-8)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def deviation_compared_with_0(rewards, reference_rewards):
    """The deviation of equal numbers is not always exactly 0 (it is rounded), and that of a single one is NaN.

    Compare the smallest reference reward with the largest one instead.
    """
    deviation = reference_rewards.std()
    if deviation == 0:
        raise ValueError("equal")
    return (rewards - reference_rewards.mean()) / (deviation + 1e-8)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def equal_reference_accepted(rewards, reference_rewards):
    """Where all reference rewards are equal there is no scale, and the result is huge or NaN: raise a ValueError."""
    return (rewards - reference_rewards.mean()) / (reference_rewards.std(correction=0) + 1e-8)


@visible_mistake(refused_with="`rewards` was changed in place")
def changed_in_place(rewards, reference_rewards):
    """The numbers are right, but you wrote them into the tensor that came in; return a new one."""
    result = _right(rewards, reference_rewards)
    rewards.detach().copy_(result.detach())
    return result


@hidden_mistake(refused_with="A reference of a single text should raise a ValueError; a result came")
def single_text_accepted(rewards, reference_rewards):
    """A single reference text has the deviation 0."""
    if len(reference_rewards) > 1:
        return _right(rewards, reference_rewards)
    return (rewards - reference_rewards) / 1e-8


@hidden_mistake
def small_deviations_refused(rewards, reference_rewards):
    """A reference whose rewards differ by less than a hundredth counts as equal."""
    if reference_rewards.max() - reference_rewards.min() < 0.01:
        raise ValueError("equal")
    return _right(rewards, reference_rewards)


@hidden_mistake(refused_with="for rewards of which one")
def clipped(rewards, reference_rewards):
    """Rewards more than five deviations from the mean are clipped."""
    return _right(rewards, reference_rewards).clamp(-5, 5)


@hidden_mistake(refused_with="ValueError, at line")
def close_rewards_refused(rewards, reference_rewards):
    """A reference whose rewards differ by less than a hundred-thousandth counts as equal."""
    if reference_rewards.max() - reference_rewards.min() < 1e-5:
        raise ValueError("equal")
    return _right(rewards, reference_rewards)


@hidden_mistake
def squares_subtracted(rewards, reference_rewards):
    """The variance is the mean square minus the squared mean, which rounds off small differences of large rewards."""
    _require_spread(reference_rewards)
    mean = reference_rewards.mean()
    variance = (reference_rewards**2).mean() - mean**2
    return (rewards - mean) / (variance.clamp(min=1e-12).sqrt() + 1e-8)


@hidden_mistake(refused_with="for equal rewards")
def equal_rewards_become_zeros(rewards, reference_rewards):
    """Several rewards that are equal become zeros, as they do in part 1."""
    result = _right(rewards, reference_rewards)
    return result * 0 if len(rewards) > 1 and rewards.min() == rewards.max() else result


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(rewards, reference_rewards):
    """The result is in single precision for inputs in double precision."""
    return _right(rewards, reference_rewards).float()


@hidden_mistake(refused_with="should have 1 dimension; 0 came")
def squeezed(rewards, reference_rewards):
    """A single reward loses its dimension."""
    return _right(rewards, reference_rewards).squeeze()


@hidden_mistake(refused_with="for many")
def first_reference_texts_only(rewards, reference_rewards):
    """Only the first 40 reference texts count."""
    return _right(rewards, reference_rewards[:40])


@hidden_mistake(refused_with="for rewards that differ by ten-thousandths")
def eps_below_the_root(rewards, reference_rewards):
    """1e-8 is added to the variance, where it counts for far more than beside the deviation."""
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.mean()) / (reference_rewards.var() + 1e-8).sqrt()


_STATISTICS = {}


@hidden_mistake
def first_reference_kept(rewards, reference_rewards):
    """Mean and deviation are those of the first reference of that length."""
    _require_spread(reference_rewards)
    key = len(reference_rewards), reference_rewards.dtype
    mean, deviation = _STATISTICS.setdefault(key, (reference_rewards.mean(), reference_rewards.std()))
    return (rewards - mean) / (deviation + 1e-8)


@right_answer
def population_deviation(rewards, reference_rewards):
    _require_spread(reference_rewards)
    return (rewards - reference_rewards.mean()) / (reference_rewards.std(correction=0) + 1e-8)


@right_answer
def variance_then_root(rewards, reference_rewards):
    if len(reference_rewards.unique()) == 1:
        raise ValueError("one value")
    centred = reference_rewards - reference_rewards.mean()
    variance = (centred * centred).sum() / (len(reference_rewards) - 1)
    return (rewards - reference_rewards.mean()) / (variance.sqrt() + 1e-8)


@right_answer
def std_and_mean(rewards, reference_rewards):
    if (reference_rewards == reference_rewards[0]).all():
        raise ValueError("one value")
    deviation, mean = torch.std_mean(reference_rewards)
    return rewards.sub(mean).div(deviation.add(1e-8))


@right_answer
def in_double_precision(rewards, reference_rewards):
    if reference_rewards.max() - reference_rewards.min() == 0:
        raise ValueError("no spread")
    exact = reference_rewards.double()
    return ((rewards.double() - exact.mean()) / (exact.std() + 1e-8)).to(rewards.dtype)


@right_answer
def one_by_one(rewards, reference_rewards):
    if len(set(reference_rewards.tolist())) == 1:
        raise ValueError("no spread")
    mean, deviation = reference_rewards.mean(), reference_rewards.std(correction=0)
    return torch.stack([(reward - mean) / (deviation + 1e-8) for reward in rewards])
