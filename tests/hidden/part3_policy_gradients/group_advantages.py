"""Wrong and right answers to `group_advantages`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _table(rewards, group_size):
    """The rewards, a row for each prompt."""
    if group_size < 2 or rewards.numel() % group_size:
        raise ValueError(group_size)
    return rewards.reshape(rewards.numel() // group_size, group_size)


def _mean(table):
    return table.mean(1, keepdim=True)


def _scaled(centred, deviation, eps, scale_by_std):
    return (centred / (deviation + eps) if scale_by_std else centred).reshape(-1)


def _right(rewards, group_size, eps=1e-4, scale_by_std=True):
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), table.std(1, keepdim=True), eps, scale_by_std)


# Mean and deviation of all completions of a batch: https://github.com/XU-YIJIE/grpo-flat/issues/2
@visible_mistake
def batch_statistics(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You use mean and deviation of the whole batch, so easy prompts gain and hard ones lose; use each group's own."""
    _table(rewards, group_size)
    return _scaled(rewards - rewards.mean(), rewards.std(), eps, scale_by_std)


# The four mixtures of batch and group, in a review: https://github.com/areal-project/AReaL/pull/303
@visible_mistake
def batch_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You divide by the deviation of the whole batch; divide by that of each group."""
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), rewards.std(), eps, scale_by_std)


@visible_mistake
def batch_mean(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You subtract the mean of the whole batch; subtract that of each group."""
    table = _table(rewards, group_size)
    return _scaled(table - rewards.mean(), table.std(1, keepdim=True), eps, scale_by_std)


# Groups formed of completions of different prompts: https://github.com/dllm-reasoning/d1/issues/19
@visible_mistake
def interleaved(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You put completions of different prompts in a group: the completions of a prompt stand one after the other."""
    _table(rewards, group_size)
    table = rewards.reshape(group_size, -1)
    centred = table - table.mean(0, keepdim=True)
    return _scaled(centred, table.std(0, keepdim=True), eps, scale_by_std)


@visible_mistake
def interleaved_with_the_populations_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You put completions of different prompts in a group: the completions of a prompt stand one after the other."""
    _table(rewards, group_size)
    table = rewards.reshape(group_size, -1)
    return _scaled(table - table.mean(0), table.std(0, correction=0), eps, scale_by_std)


@visible_mistake
def interleaved_and_turned(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You put every n-th reward in a group, of n prompts; a group is group_size rewards one after the other."""
    _table(rewards, group_size)
    table = rewards.reshape(group_size, -1).T
    return _scaled(table - _mean(table), table.std(1, keepdim=True), eps, scale_by_std)


@visible_mistake
def as_many_groups_as_completions(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You make `group_size` groups; `group_size` is the number of completions in each of them."""
    _table(rewards, group_size)
    table = rewards.reshape(group_size, -1)
    return _scaled(table - _mean(table), table.std(1, keepdim=True), eps, scale_by_std)


@visible_mistake
def as_many_groups_with_the_populations_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You make `group_size` groups, which are to have `group_size` completions each: reshape to (-1, group_size)."""
    _table(rewards, group_size)
    table = rewards.reshape(group_size, -1)
    return _scaled(table - _mean(table), table.std(1, correction=0, keepdim=True), eps, scale_by_std)


@visible_mistake
def over_prompts(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Mean and deviation run over prompts (dim=0); they run over the completions of each prompt (dim=1)."""
    table = _table(rewards, group_size)
    return _scaled(table - table.mean(0), table.std(0), eps, scale_by_std)


@visible_mistake
def over_prompts_with_the_populations_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You compare the prompts' completions of the same number (dim=0); compare the completions of a prompt (dim=1)."""
    table = _table(rewards, group_size)
    return _scaled(table - table.mean(0), table.std(0, correction=0), eps, scale_by_std)


@visible_mistake
def only_scaled(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You divide by the deviation, and do not subtract the mean."""
    table = _table(rewards, group_size)
    return _scaled(table, table.std(1, keepdim=True), eps, scale_by_std)


# Whether the documentation's formula lacks a division, as a user asked:
# https://github.com/thinking-machines-lab/tinker-cookbook/issues/579
@visible_mistake
def never_scaled(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You never divide by the deviation; do so unless `scale_by_std` is False."""
    table = _table(rewards, group_size)
    return (table - _mean(table)).reshape(-1)


@visible_mistake
def always_scaled(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You divide by the deviation even if `scale_by_std` is False."""
    return _right(rewards, group_size, eps)


@visible_mistake
def scaled_the_other_way(rewards, group_size, eps=1e-4, scale_by_std=True):
    """`scale_by_std` is used the wrong way round: divide if it is True."""
    return _right(rewards, group_size, eps, not scale_by_std)


@visible_mistake
def divided_by_the_variance(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You divide by the variance; divide by its square root, the standard deviation."""
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), table.var(1, keepdim=True), eps, scale_by_std)


# Where eps belongs, as users of another normalisation discussed: https://github.com/taokong/group_normalization/issues/1
@visible_mistake
def eps_below_the_root(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You add `eps` to the variance, where it counts for far more; add it to the deviation, behind the root."""
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), (table.var(1, keepdim=True) + eps).sqrt(), 0.0, scale_by_std)


@visible_mistake(refused_with="not finite")
def no_eps(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You do not add `eps`, so a group of equal rewards divides 0 by 0, and NaN spoils every weight in one step."""
    return _right(rewards, group_size, 0.0, scale_by_std)


@visible_mistake(refused_with="with an eps of the caller's")
def eps_not_used(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You add 1e-4 whatever `eps` is; add the `eps` that comes in."""
    return _right(rewards, group_size, 1e-4, scale_by_std)


@visible_mistake
def least_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You use `eps` as the least deviation (clamp, maximum); add it to the deviation."""
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), table.std(1, keepdim=True).clamp(min=eps), 0.0, scale_by_std)


@visible_mistake
def own_reward_left_out(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You subtract the mean of the others, as `rloo_advantages` does; subtract the mean of the whole group."""
    table = _table(rewards, group_size)
    others = (table.sum(1, keepdim=True) - table) / (group_size - 1)
    return _scaled(table - others, table.std(1, keepdim=True), eps, scale_by_std)


@visible_mistake
def median(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You subtract the median of the group; subtract its mean."""
    table = _table(rewards, group_size)
    return _scaled(table - table.median(1, keepdim=True).values, table.std(1, keepdim=True), eps, scale_by_std)


@visible_mistake
def scaled_by_the_range(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You divide by the difference of the largest and the smallest reward; divide by the standard deviation."""
    table = _table(rewards, group_size)
    return _scaled(table - _mean(table), table.amax(1, keepdim=True) - table.amin(1, keepdim=True), eps, scale_by_std)


# Advantages normalised in the group, and once more over all: https://github.com/axon-rl/gem/pull/113
@visible_mistake
def normalised_twice(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You normalise a second time over the batch, which ties prompts to each other again; once, in each group."""
    once = _right(rewards, group_size, eps, scale_by_std)
    return (once - once.mean()) / (once.std() + eps)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The sign is turned: a reward above the group's mean has a positive advantage."""
    return -_right(rewards, group_size, eps, scale_by_std)


@visible_mistake(refused_with="should have 1 dimension; 2 came")
def table(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The numbers are right, but in a table of shape [prompts, group_size]; the result has the shape of the rewards."""
    return _right(rewards, group_size, eps, scale_by_std).reshape(-1, group_size)


@visible_mistake
def one_a_group(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You return one number for each group; each completion has an advantage of its own."""
    return _right(rewards, group_size, eps, scale_by_std).reshape(-1, group_size).amax(1)


@visible_mistake(refused_with="A group of one should raise a ValueError; a result came")
def group_of_one_accepted(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A completion alone has nothing to be compared with, so a group of one is a ValueError."""
    if group_size == 1:
        return torch.zeros_like(rewards)
    return _right(rewards, group_size, eps, scale_by_std)


# Groups of other sizes that shifted all later ones: https://github.com/areal-project/AReaL/issues/1419
@visible_mistake(refused_with="should raise a ValueError; a result came")
def remainder_left_out(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Where groups do not divide the batch, the last rewards get 0: raise a ValueError, since something went wrong."""
    if group_size < 2:
        raise ValueError(group_size)
    result = torch.zeros_like(rewards)
    whole = len(rewards) // group_size * group_size
    result[:whole] = _right(rewards[:whole], group_size, eps, scale_by_std) if whole else 0
    return result


@visible_mistake(refused_with="should raise a ValueError; a result came")
def last_group_smaller(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Where groups do not divide the batch, the last group is smaller: raise a ValueError, since something is wrong."""
    if group_size < 2:
        raise ValueError(group_size)
    parts = rewards.split(group_size)
    return torch.cat([_scaled(part - part.mean(), part.std(correction=0), eps, scale_by_std) for part in parts])


@visible_mistake(refused_with="should raise a ValueError; it raised AssertionError")
def asserted(rewards, group_size, eps=1e-4, scale_by_std=True):
    """You use `assert`, which raises an AssertionError and can be switched off: raise a ValueError."""
    if group_size < 2 or len(rewards) % group_size:
        raise AssertionError(group_size)
    return _right(rewards, group_size, eps, scale_by_std)


@visible_mistake(refused_with="`rewards` was changed in place")
def changed_in_place(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The numbers are right, but you wrote them into the tensor that came in; return a new one."""
    result = _right(rewards, group_size, eps, scale_by_std)
    rewards.detach().copy_(result.detach())
    return result


@hidden_mistake(refused_with="for many prompts")
def first_prompts_only(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Only the first 32 prompts get advantages."""
    result = _right(rewards, group_size, eps, scale_by_std)
    return torch.cat([result[: 32 * group_size], torch.zeros_like(result[32 * group_size :])])


@hidden_mistake(refused_with="for large groups")
def first_completions_only(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Mean and deviation are those of the first 32 completions."""
    table = _table(rewards, group_size)
    first = table[:, :32]
    return _scaled(table - _mean(first), first.std(1, keepdim=True), eps, scale_by_std)


@hidden_mistake(refused_with="for groups of equal rewards")
def equal_rewards_compared_with_the_batch(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A group of equal rewards is compared with the mean of the batch."""
    result = _right(rewards, group_size, eps, scale_by_std).reshape(-1, group_size)
    table = _table(rewards, group_size)
    is_equal = table.amax(1, keepdim=True) == table.amin(1, keepdim=True)
    return torch.where(is_equal, table - rewards.mean(), result).reshape(-1)


@hidden_mistake(refused_with="for groups of equal rewards")
def groups_of_equal_rewards_left_out(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Groups of equal rewards are left out of the result."""
    table = _table(rewards, group_size)
    kept = table[table.amax(1) > table.amin(1)]
    return _right(kept.reshape(-1), group_size, eps, scale_by_std) if len(kept) else torch.zeros_like(rewards)


@hidden_mistake(refused_with="for rewards that differ by little")
def small_deviations_ignored(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A group whose deviation is below a hundredth counts as equal."""
    table = _table(rewards, group_size)
    is_kept = (table.std(1, keepdim=True) >= 0.01).to(rewards.dtype)
    return _right(rewards, group_size, eps, scale_by_std) * is_kept.expand_as(table).reshape(-1)


@hidden_mistake
def deviations_below_eps_ignored(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A group whose deviation is below eps counts as equal."""
    table = _table(rewards, group_size)
    is_kept = (table.std(1, keepdim=True) >= eps).to(rewards.dtype) if scale_by_std else torch.ones_like(table)
    return _right(rewards, group_size, eps, scale_by_std) * is_kept.expand_as(table).reshape(-1)


@hidden_mistake(refused_with="A group of one, without scaling,")
def group_of_one_without_scaling(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A group of one is refused only where a deviation is needed."""
    if group_size == 1 and not scale_by_std:
        return torch.zeros_like(rewards)
    return _right(rewards, group_size, eps, scale_by_std)


@hidden_mistake(refused_with="without scaling")
def eps_without_scaling(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Without scaling, the advantages are divided by 1 + eps."""
    result = _right(rewards, group_size, eps, scale_by_std)
    return result if scale_by_std else result / (1 + eps)


@hidden_mistake(refused_with="without scaling")
def batch_mean_without_scaling(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Without scaling, the mean of the whole batch is subtracted."""
    result = _right(rewards, group_size, eps, scale_by_std)
    return result if scale_by_std else rewards - rewards.mean()


@hidden_mistake
def squares_subtracted(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The variance is the mean square minus the squared mean, which rounds off small differences of large rewards."""
    table = _table(rewards, group_size)
    variance = ((table**2).mean(1, keepdim=True) - _mean(table) ** 2).clamp(min=0)
    return _scaled(table - _mean(table), variance.sqrt(), eps, scale_by_std)


@hidden_mistake(refused_with="of which one is far above the others")
def clipped(rewards, group_size, eps=1e-4, scale_by_std=True):
    """No advantage is larger than 5, or smaller than -5."""
    return _right(rewards, group_size, eps, scale_by_std).clamp(-5, 5)


@hidden_mistake(refused_with="A group of none should raise a ValueError; it raised ZeroDivisionError")
def divided_by_zero(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The remainder is taken first, which raises another exception for a group of none."""
    if rewards.numel() % group_size or group_size < 2:
        raise ValueError(group_size)
    return _right(rewards, group_size, eps, scale_by_std)


@hidden_mistake(refused_with="A negative group size")
def negative_sizes_accepted(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A negative size is taken for its absolute value."""
    return _right(rewards, abs(group_size), eps, scale_by_std)


@hidden_mistake(refused_with="A batch smaller than a group")
def batch_smaller_than_a_group(rewards, group_size, eps=1e-4, scale_by_std=True):
    """A batch that is smaller than a group is taken for one."""
    return _right(rewards, min(group_size, max(2, rewards.numel())), eps, scale_by_std)


@hidden_mistake
def whole_rewards(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Rewards are rounded to whole numbers."""
    return _right(rewards.round(), group_size, eps, scale_by_std)


@hidden_mistake(refused_with="for as many prompts as completions")
def square_tables_transposed(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Where there are as many prompts as completions, the groups are interleaved."""
    table = _table(rewards, group_size)
    if table.shape[0] == table.shape[1]:
        return interleaved(rewards, group_size, eps, scale_by_std)
    return _right(rewards, group_size, eps, scale_by_std)


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The result is in single precision for rewards in double precision."""
    return _right(rewards, group_size, eps, scale_by_std).float()


@hidden_mistake(refused_with="float64")
def through_single_precision(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The advantages are computed in single precision, and returned in double precision."""
    return _right(rewards.float(), group_size, eps, scale_by_std).to(rewards.dtype)


@hidden_mistake(refused_with="whether `rewards` requires a gradient")
def gradients_switched_off(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The caller's tensor no longer requires a gradient."""
    return _right(rewards.requires_grad_(False) if rewards.is_leaf else rewards, group_size, eps, scale_by_std)


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The result is written into a tensor that the next call overwrites."""
    result = _right(rewards, group_size, eps, scale_by_std).detach()
    return _BUFFERS.setdefault((len(result), result.dtype), torch.empty_like(result)).copy_(result)


@hidden_mistake(refused_with="for rewards that are all negative")
def penalties_turned_round(rewards, group_size, eps=1e-4, scale_by_std=True):
    """Rewards of which none is above 0 are taken for costs."""
    costs = bool((rewards < 0).all())
    return _right(-rewards if costs else rewards, group_size, eps, scale_by_std)


@hidden_mistake(refused_with="is an inference tensor")
@torch.inference_mode()
def in_inference_mode(rewards, group_size, eps=1e-4, scale_by_std=True):
    """The result is an inference tensor, from which no loss can be computed."""
    return _right(rewards, group_size, eps, scale_by_std)


@right_answer
def population_deviation(rewards, group_size, eps=1e-4, scale_by_std=True):
    table = _table(rewards, group_size)
    centred = table - _mean(table)
    if scale_by_std:
        centred = centred / ((centred**2).mean(1, keepdim=True).sqrt() + eps)
    return centred.view(-1)


@right_answer
def group_by_group(rewards, group_size, eps=1e-4, scale_by_std=True):
    if group_size <= 1:
        raise ValueError("nothing to compare with")
    if len(rewards) % group_size != 0:
        raise ValueError("a group is not complete")
    parts = []
    for start in range(0, len(rewards), group_size):
        part = rewards[start : start + group_size]
        parts.append((part - part.mean()) / (part.std() + eps if scale_by_std else 1.0))
    return torch.cat(parts)


@right_answer
def without_gradients(rewards, group_size, eps=1e-4, scale_by_std=True):
    if group_size < 2 or divmod(rewards.shape[0], group_size)[1]:
        raise ValueError("no groups")
    with torch.no_grad():
        deviation, mean = torch.std_mean(rewards.unflatten(0, (-1, group_size)), dim=-1)
        advantages = rewards - mean.repeat_interleave(group_size)
        if not scale_by_std:
            return advantages
        return advantages.div(deviation.repeat_interleave(group_size).add(eps))


@right_answer
def columns(rewards, group_size, eps=1e-4, scale_by_std=True):
    if group_size not in range(2, rewards.numel() + 1) or rewards.numel() % group_size:
        raise ValueError("no groups")
    table = rewards.reshape(-1, group_size).T
    centred = table - table.mean(dim=0)
    scaled = centred / (table.std(dim=0) + eps) if scale_by_std else centred
    return scaled.T.reshape(rewards.shape)


@right_answer
def indices_of_groups(rewards, group_size, eps=1e-4, scale_by_std=True):
    _table(rewards, group_size)
    groups = torch.arange(len(rewards)) // group_size
    count = len(rewards) // group_size
    mean = rewards.new_zeros(count).index_add(0, groups, rewards) / group_size
    centred = rewards - mean[groups]
    if not scale_by_std:
        return centred
    squares = rewards.new_zeros(count).index_add(0, groups, centred.square()) / (group_size - 1)
    return centred / (squares.sqrt()[groups] + eps)


@right_answer
def in_double_precision(rewards, group_size, eps=1e-4, scale_by_std=True):
    table = _table(rewards, group_size).double()
    advantages = table - table.sum(1, keepdim=True) / group_size
    if scale_by_std:
        advantages = advantages / (table.var(1, correction=0, keepdim=True) ** 0.5 + eps)
    return advantages.flatten().to(rewards.dtype)
