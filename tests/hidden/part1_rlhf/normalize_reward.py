"""Wrong and right answers to `normalize_reward`."""

import torch
from einops import reduce

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


@visible_mistake(refused_with="The reward that was passed in was changed")
def in_place(reward, eps=1e-5):
    """You changed the caller's reward (`-=` and `/=` work in place); the raw reward is still needed for the log."""
    reward -= reward.mean()
    reward /= reward.std() + eps
    return reward


@visible_mistake(refused_with="The normalised reward of texts that all earned the same is not finite (nan")
def no_eps(reward, eps=1e-5):
    """For equal rewards the deviation is 0, and 0 / 0 is not a number. Add `eps` to the deviation."""
    return (reward - reward.mean()) / reward.std()


@visible_mistake
def divides_by_the_variance(reward, eps=1e-5):
    """You divide by the variance; it is the standard deviation, its square root."""
    return (reward - reward.mean()) / (reward.var() + eps)


@visible_mistake(refused_with="throughout, by one amount")
def no_shift(reward, eps=1e-5):
    """You scale without shifting: subtract the mean first."""
    return reward / (reward.std() + eps)


@visible_mistake
def no_scale(reward, eps=1e-5):
    """You shift without scaling: divide the difference by the standard deviation."""
    return reward - reward.mean()


@visible_mistake
def brackets(reward, eps=1e-5):
    """Brackets are missing: `reward - reward.mean() / (...)` divides the mean alone. Subtract first, then divide."""
    return reward - reward.mean() / (reward.std() + eps)


@visible_mistake
def between_0_and_1(reward, eps=1e-5):
    """You map the rewards to the range from 0 to 1; they should have mean 0 and standard deviation 1."""
    return (reward - reward.min()) / (reward.max() - reward.min() + eps)


@visible_mistake
def between_minus_1_and_1(reward, eps=1e-5):
    """You divide by the largest deviation; divide by the standard deviation, a mean over all of them."""
    centred = reward - reward.mean()
    return centred / (centred.abs().max() + eps)


@visible_mistake(refused_with="throughout, by one amount")
def median(reward, eps=1e-5):
    """You subtract the median; subtract the mean, which should become 0."""
    return (reward - reward.median()) / (reward.std() + eps)


@visible_mistake
def length(reward, eps=1e-5):
    """You divide by the vector's norm, which grows with the batch; divide by the standard deviation."""
    centred = reward - reward.mean()
    return centred / (centred.norm() + eps)


@visible_mistake
def softmax(reward, eps=1e-5):
    """You apply a softmax, which gives probabilities; the rewards should have mean 0 and standard deviation 1."""
    return reward.softmax(-1)


@visible_mistake(refused_with="has the wrong sign")
def sign(reward, eps=1e-5):
    """The sign is wrong: you subtract the reward from the mean, so the best text gets the lowest number."""
    return (reward.mean() - reward) / (reward.std() + eps)


_SEEN = []


@hidden_mistake
def large_default_eps(reward, eps=1e-2):
    """The default eps is a thousand times too large."""
    return (reward - reward.mean()) / (reward.std() + eps)


@hidden_mistake(refused_with="it is 0 for each, as none is better than the mean")
def equal_rewards_kept(reward, eps=1e-5):
    """Equal rewards come back as they are."""
    if reward.std() == 0:
        return reward.clone()
    return (reward - reward.mean()) / (reward.std() + eps)


@visible_mistake(refused_with="`eps` is added to the deviation, or to the variance below the root")
def eps_fixed(reward, eps=1e-5):
    """`eps` has no effect: use the one that is passed."""
    return (reward - reward.mean()) / (reward.std() + 1e-5)


@hidden_mistake(refused_with="`eps` is added to the deviation, or to the variance below the root")
def not_a_number_replaced(reward, eps=1e-5):
    """There is no eps, and NaN is replaced by 0."""
    return ((reward - reward.mean()) / reward.std()).nan_to_num(0.0)


@hidden_mistake(refused_with="is too large throughout, by one factor")
def difference_of_squares(reward, eps=1e-5):
    """The variance is a difference of two large numbers, which float32 rounds off."""
    variance = (reward.square().mean() - reward.mean().square()).clamp(min=0)
    return (reward - reward.mean()) / (variance.sqrt() + eps)


@hidden_mistake
def all_rewards_so_far(reward, eps=1e-5):
    """Mean and deviation are those of all rewards that were ever passed."""
    _SEEN.append(reward.clone())
    history = torch.cat(_SEEN)
    return (reward - history.mean()) / (history.std() + eps)


@hidden_mistake
def whole_numbers(reward, eps=1e-5):
    """The result is rounded to whole numbers."""
    return ((reward - reward.mean()) / (reward.std() + eps)).round()


@hidden_mistake
def deviation_half(reward, eps=1e-5):
    """The deviation becomes a half."""
    return (reward - reward.mean()) / (2 * reward.std() + eps)


@hidden_mistake(refused_with="for many texts of which one earned much more than the others")
def clipped(reward, eps=1e-5):
    """Normalised rewards are clipped at 5 and -5."""
    return ((reward - reward.mean()) / (reward.std() + eps)).clamp(-5, 5)


@hidden_mistake
def raw_reward_clipped(reward, eps=1e-5):
    """Rewards above 5 count as 5."""
    clipped = reward.clamp(max=5.0)
    return (clipped - clipped.mean()) / (clipped.std() + eps)


@hidden_mistake(refused_with="for rewards that differ by a few thousandths is zero")
def close_rewards_taken_for_equal(reward, eps=1e-5):
    """Rewards whose deviation is below 0.01 become zeros."""
    if reward.std() < 0.01:
        return torch.zeros_like(reward)
    return (reward - reward.mean()) / (reward.std() + eps)


@hidden_mistake
def half_precision(reward, eps=1e-5):
    """The reward is normalised in half precision."""
    reduced = reward.to(torch.bfloat16)
    return ((reduced - reduced.mean()) / (reduced.std() + eps)).to(reward.dtype)


_MOMENTS = []


@hidden_mistake
def kept_moments(reward, eps=1e-5):
    """The mean and the deviation of the first batch are kept for all others."""
    if not _MOMENTS or len(_MOMENTS[0]) < 3:
        _MOMENTS[:] = [reward.clone()]
    return (reward - _MOMENTS[0].mean()) / (_MOMENTS[0].std() + eps)


@hidden_mistake(refused_with="The normalised reward with an eps of the caller's")
def eps_times_the_mean(reward, eps=1e-5):
    """`eps` is multiplied by the mean of the rewards."""
    return (reward - reward.mean()) / (reward.std() + eps * (reward.mean().abs() + 1e-3))


@hidden_mistake(refused_with="`eps` is added to the deviation, or to the variance below the root")
def at_least_eps(reward, eps=1e-5):
    """`eps` is the least deviation instead of being added to it."""
    return (reward - reward.mean()) / reward.std().clamp(min=eps)


@hidden_mistake(refused_with="`eps` is added to the deviation, or to the variance below the root")
def eps_twice(reward, eps=1e-5):
    """`eps` is added both below and outside the root."""
    return (reward - reward.mean()) / ((reward.var() + eps).sqrt() + eps)


@hidden_mistake(refused_with="it has mean 0 and standard deviation 1")
def distinct_rewards_only(reward, eps=1e-5):
    """Rewards that several texts earned count once in the mean and the deviation."""
    distinct = reward.unique()
    if len(distinct) < 2:
        return torch.zeros_like(reward)
    return (reward - distinct.mean()) / (distinct.std() + eps)


@hidden_mistake
def largest_left_out(reward, eps=1e-5):
    """The largest reward does not count in the mean and the deviation."""
    if len(reward) < 4:
        return (reward - reward.mean()) / (reward.std() + eps)
    others = reward.sort().values[:-1]
    return (reward - others.mean()) / (others.std() + eps)


@hidden_mistake(refused_with="The reward that was passed in was changed")
def equal_rewards_zeroed_in_place(reward, eps=1e-5):
    """Equal rewards become zeros in the caller's tensor."""
    if reward.std() == 0:
        return reward.zero_()
    return (reward - reward.mean()) / (reward.std() + eps)


@hidden_mistake
def first_rewards_only(reward, eps=1e-5):
    """The mean and the deviation are those of the first 32 rewards."""
    first = reward[:32]
    return (reward - first.mean()) / (first.std() + eps)


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
def single_precision(reward, eps=1e-5):
    """The result has single precision, whatever the reward has."""
    return ((reward - reward.mean()) / (reward.std() + eps)).float()


@hidden_mistake(refused_with="The normalised reward for two texts")
def two_texts_as_they_are(reward, eps=1e-5):
    """Two rewards are only shifted."""
    if len(reward) < 3:
        return reward - reward.mean()
    return (reward - reward.mean()) / (reward.std() + eps)


@hidden_mistake(refused_with="for rewards that differ by less than a thousandth is zero")
def small_spread_is_zero(reward, eps=1e-5):
    """Rewards whose deviation is below a thousandth become zeros."""
    std = reward.std()
    return torch.zeros_like(reward) if std < 1e-3 else (reward - reward.mean()) / (std + eps)


@hidden_mistake(refused_with="is zero, and should not be")
def large_rewards_capped(reward, eps=1e-5):
    """Rewards above 10,000 count as 10,000."""
    capped = reward.clamp(max=10_000.0)
    return (capped - capped.mean()) / (capped.std() + eps)


@right_answer
def batch_norm(reward, eps=1e-5):
    return torch.nn.functional.batch_norm(reward[:, None], None, None, training=True, eps=eps)[:, 0]


@right_answer
def by_hand(reward, eps=1e-5):
    print("rewards:", reward)
    values = reward.tolist()
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return torch.tensor([(value - mean) / (deviation + eps) for value in values], dtype=reward.dtype)


@right_answer
def with_numpy(reward, eps=1e-5):
    values = reward.numpy()
    return torch.from_numpy((values - values.mean()) / (values.std() + eps)).to(reward.dtype)


@right_answer
def multiplied_by_the_reciprocal(reward, eps=1e-5):
    centred = reward.sub(reward.mean())
    return centred.mul(1 / (centred.square().sum() / (len(reward) - 1)).sqrt().add(eps))


@right_answer
def population_deviation(reward, eps=1e-5):
    return (reward - reward.mean()) / (reward.std(correction=0) + eps)


@right_answer
def eps_below_the_root(reward, eps=1e-5):
    return (reward - reward.mean()) / (reward.var() + eps).sqrt()


@right_answer
def population_eps_below_the_root(reward, eps=1e-5):
    centred = reward - reward.mean()
    return centred * torch.rsqrt(centred.pow(2).mean() + eps)


@right_answer
def copied_then_in_place(reward, eps=1e-5):
    result = reward.clone()
    result -= result.mean()
    result /= result.std() + eps
    return result


@right_answer
def layer_norm(reward, eps=1e-5):
    return torch.nn.functional.layer_norm(reward, reward.shape, eps=eps)


@right_answer
def with_einops(reward, eps=1e-5):
    mean = reduce(reward, "batch -> ", "mean")
    return (reward - mean) / (torch.std(reward, dim=0) + eps)
