"""Wrong and right answers to `rloo_advantages`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _rows(rewards, group_size):
    """The rewards, a row for each prompt."""
    if group_size < 2 or rewards.numel() % group_size:
        raise ValueError(group_size)
    return rewards.reshape(rewards.numel() // group_size, group_size)


def _others(rows):
    """The mean reward of the other completions of each prompt."""
    return (rows.sum(1, keepdim=True) - rows) / (rows.shape[1] - 1)


def _right(rewards, group_size):
    rows = _rows(rewards, group_size)
    return (rows - _others(rows)).reshape(-1)


# Why the mean of a group is another baseline, in a review: https://github.com/areal-project/AReaL/pull/354
@visible_mistake
def own_reward_kept(rewards, group_size):
    """You subtract the mean of the whole group, which holds the completion's own reward; leave that one out."""
    rows = _rows(rewards, group_size)
    return (rows - rows.mean(1, keepdim=True)).reshape(-1)


@visible_mistake
def divided_by_the_group_size(rewards, group_size):
    """You divide the sum of the others by group_size; there are group_size - 1 of them."""
    rows = _rows(rewards, group_size)
    return (rows - (rows.sum(1, keepdim=True) - rows) / group_size).reshape(-1)


@visible_mistake
def own_reward_in_the_sum(rewards, group_size):
    """You divide the sum of the whole group by group_size - 1; take the completion's own reward out of the sum."""
    rows = _rows(rewards, group_size)
    return (rows - rows.sum(1, keepdim=True) / (group_size - 1)).reshape(-1)


@visible_mistake
def sum_of_the_others(rewards, group_size):
    """You subtract the sum of the others; subtract their mean."""
    rows = _rows(rewards, group_size)
    return (rows - (rows.sum(1, keepdim=True) - rows)).reshape(-1)


@visible_mistake
def factor_turned_over(rewards, group_size):
    """You multiply by (group_size - 1) / group_size; without the own reward, advantages are larger, not smaller."""
    rows = _rows(rewards, group_size)
    return ((rows - rows.mean(1, keepdim=True)) * (group_size - 1) / group_size).reshape(-1)


@visible_mistake
def others_of_the_batch(rewards, group_size):
    """You subtract the mean of all other completions of the batch; the baseline is of the same prompt."""
    _rows(rewards, group_size)
    return rewards - (rewards.sum() - rewards) / (rewards.numel() - 1)


# Groups formed of completions of different prompts: https://github.com/dllm-reasoning/d1/issues/19
@visible_mistake
def interleaved(rewards, group_size):
    """You put completions of different prompts in a group: the completions of a prompt stand one after the other."""
    _rows(rewards, group_size)
    columns = rewards.reshape(group_size, -1).T
    return (columns - _others(columns)).T.reshape(-1)


@visible_mistake
def over_prompts(rewards, group_size):
    """You compare with the other prompts (dim=0); compare with the other completions of the same prompt (dim=1)."""
    rows = _rows(rewards, group_size)
    others = (rows.sum(0, keepdim=True) - rows) / max(1, rows.shape[0] - 1)
    return (rows - others).reshape(-1)


@visible_mistake
def as_many_groups_as_completions(rewards, group_size):
    """You make `group_size` groups; `group_size` is the number of completions in each of them."""
    _rows(rewards, group_size)
    rows = rewards.reshape(group_size, -1)
    return (rows - (rows.sum(1, keepdim=True) - rows) / max(1, rows.shape[1] - 1)).reshape(-1)


@visible_mistake
def baseline_alone(rewards, group_size):
    """You return the mean of the others; return the reward minus that mean."""
    return _others(_rows(rewards, group_size)).reshape(-1)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(rewards, group_size):
    """The sign is turned: a reward above the mean of the others has a positive advantage."""
    return -_right(rewards, group_size)


@visible_mistake
def scaled(rewards, group_size):
    """You divide by the group's deviation, as `group_advantages` does; only subtract the mean of the others."""
    rows = _rows(rewards, group_size)
    return ((rows - _others(rows)) / (rows.std(1, keepdim=True) + 1e-4)).reshape(-1)


@visible_mistake
def others_by_value(rewards, group_size):
    """You leave out all rewards of the same value, not only the completion's own; others with that reward count too."""
    rows = _rows(rewards, group_size)
    is_other = rows[:, None, :] != rows[:, :, None]
    counts = is_other.sum(2).clamp(min=1)
    return (rows - (rows[:, None, :] * is_other).sum(2) / counts).reshape(-1)


@visible_mistake
def best_of_the_others(rewards, group_size):
    """You subtract the largest reward of the others; subtract their mean."""
    rows = _rows(rewards, group_size)
    own = torch.eye(group_size, dtype=torch.bool)
    return (rows - rows[:, None, :].masked_fill(own, -torch.inf).amax(2)).reshape(-1)


@visible_mistake
def next_completion(rewards, group_size):
    """You subtract the reward of the next completion; subtract the mean of all others of the group."""
    rows = _rows(rewards, group_size)
    return (rows - rows.roll(-1, 1)).reshape(-1)


@visible_mistake
def completions_before(rewards, group_size):
    """You subtract the mean of the completions before; those behind it are others too."""
    rows = _rows(rewards, group_size)
    before = rows.cumsum(1) - rows
    return (rows - before / torch.arange(group_size).clamp(min=1)).reshape(-1)


@visible_mistake(refused_with="should have 1 dimension; 2 came")
def table(rewards, group_size):
    """The numbers are right, but in a table of shape [prompts, group_size]; the result has the shape of the rewards."""
    return _right(rewards, group_size).reshape(-1, group_size)


# Two estimators that disagree about groups of one: https://github.com/verl-project/verl/pull/7581
@visible_mistake(refused_with="A group of one should raise a ValueError; a result came")
def reward_of_a_group_of_one(rewards, group_size):
    """A completion alone keeps its reward, which is no advantage: there are no others, so raise a ValueError."""
    return rewards.clone() if group_size == 1 else _right(rewards, group_size)


@visible_mistake(refused_with="A group of one should raise a ValueError; a result came")
def zero_for_a_group_of_one(rewards, group_size):
    """A completion alone gets 0, so nothing would be learnt: there are no others, so raise a ValueError."""
    return torch.zeros_like(rewards) if group_size == 1 else _right(rewards, group_size)


# Groups of other sizes that shifted all later ones: https://github.com/areal-project/AReaL/issues/1419
@visible_mistake(refused_with="should raise a ValueError; a result came")
def remainder_left_out(rewards, group_size):
    """Where groups do not divide the batch, the last rewards get 0: raise a ValueError, since something went wrong."""
    if group_size < 2:
        raise ValueError(group_size)
    whole = len(rewards) // group_size * group_size
    parts = [_right(rewards[:whole], group_size)] if whole else []
    return torch.cat([*parts, torch.zeros_like(rewards[whole:])])


@visible_mistake(refused_with="should raise a ValueError; it raised AssertionError")
def asserted(rewards, group_size):
    """You use `assert`, which raises an AssertionError and can be switched off: raise a ValueError."""
    if group_size < 2 or len(rewards) % group_size:
        raise AssertionError(group_size)
    return _right(rewards, group_size)


@visible_mistake(refused_with="`rewards` was changed in place")
def changed_in_place(rewards, group_size):
    """The numbers are right, but you wrote them into the tensor that came in; return a new one."""
    result = _right(rewards, group_size)
    rewards.detach().copy_(result.detach())
    return result


@hidden_mistake(refused_with="for many prompts")
def first_prompts_only(rewards, group_size):
    """Only the first 32 prompts get advantages."""
    result = _right(rewards, group_size)
    return torch.cat([result[: 32 * group_size], torch.zeros_like(result[32 * group_size :])])


@hidden_mistake(refused_with="for large groups")
def first_completions_only(rewards, group_size):
    """Of large groups, the mean is that of the first 32 completions."""
    rows = _rows(rewards, group_size)
    if group_size <= 32:
        return _right(rewards, group_size)
    return (rows - rows[:, :32].mean(1, keepdim=True)).reshape(-1)


@hidden_mistake
def others_by_nearness(rewards, group_size):
    """Rewards that differ by less than a thousandth are taken for the completion's own."""
    rows = _rows(rewards, group_size)
    own = torch.eye(group_size, dtype=torch.bool)
    is_other = ((rows[:, None, :] - rows[:, :, None]).abs() > 1e-3) | (~own & (rows[:, None, :] == rows[:, :, None]))
    return (rows - (rows[:, None, :] * is_other).sum(2) / is_other.sum(2).clamp(min=1)).reshape(-1)


@hidden_mistake(refused_with="of which one is far above the others")
def clipped(rewards, group_size):
    """No advantage is larger than 50, or smaller than -50."""
    return _right(rewards, group_size).clamp(-50, 50)


@hidden_mistake
def whole_rewards(rewards, group_size):
    """Rewards are rounded to whole numbers."""
    return _right(rewards.round(), group_size)


@hidden_mistake
def best_completion_only(rewards, group_size):
    """Completions below the mean of the others get 0."""
    return _right(rewards, group_size).relu()


@hidden_mistake(refused_with="for as many prompts as completions")
def square_tables_transposed(rewards, group_size):
    """Where there are as many prompts as completions, the groups are interleaved."""
    is_square = rewards.numel() == group_size**2
    return interleaved(rewards, group_size) if is_square else _right(rewards, group_size)


@hidden_mistake(refused_with="A group of none should raise a ValueError; it raised ZeroDivisionError")
def divided_by_zero(rewards, group_size):
    """The remainder is taken first, which raises another exception for a group of none."""
    if rewards.numel() % group_size or group_size < 2:
        raise ValueError(group_size)
    return _right(rewards, group_size)


@hidden_mistake(refused_with="A negative group size")
def negative_sizes_accepted(rewards, group_size):
    """A negative size is taken for its absolute value."""
    return _right(rewards, abs(group_size))


@hidden_mistake(refused_with="A batch smaller than a group")
def batch_smaller_than_a_group(rewards, group_size):
    """A batch that is smaller than a group is taken for one."""
    return _right(rewards, min(group_size, max(2, rewards.numel())))


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(rewards, group_size):
    """The result is in single precision for rewards in double precision."""
    return _right(rewards, group_size).float()


@hidden_mistake(refused_with="float64")
def through_single_precision(rewards, group_size):
    """The advantages are computed in single precision, and returned in double precision."""
    return _right(rewards.float(), group_size).to(rewards.dtype)


@hidden_mistake(refused_with="whether `rewards` requires a gradient")
def gradients_switched_off(rewards, group_size):
    """The caller's tensor no longer requires a gradient."""
    return _right(rewards.requires_grad_(False) if rewards.is_leaf else rewards, group_size)


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(rewards, group_size):
    """The result is written into a tensor that the next call overwrites."""
    result = _right(rewards, group_size).detach()
    return _BUFFERS.setdefault((len(result), result.dtype), torch.empty_like(result)).copy_(result)


@hidden_mistake(refused_with="for rewards that are all negative")
def penalties_turned_round(rewards, group_size):
    """Rewards of which none is above 0 are taken for costs."""
    return _right(-rewards if bool((rewards < 0).all()) else rewards, group_size)


@right_answer
def factor(rewards, group_size):
    rows = _rows(rewards, group_size)
    return (group_size / (group_size - 1) * (rows - rows.mean(1, keepdim=True))).view(-1)


@right_answer
def one_by_one(rewards, group_size):
    if group_size <= 1 or len(rewards) % group_size > 0:
        raise ValueError("no groups")
    advantages = []
    for index in range(len(rewards)):
        start = index - index % group_size
        others = [rewards[other] for other in range(start, start + group_size) if other != index]
        advantages.append(rewards[index] - sum(others) / len(others))
    return torch.stack(advantages)


@right_answer
def matrix(rewards, group_size):
    if group_size < 2 or rewards.shape[0] % group_size:
        raise ValueError("no groups")
    weights = (1 - torch.eye(group_size, dtype=rewards.dtype)) / (group_size - 1)
    rows = rewards.unflatten(0, (-1, group_size))
    return torch.flatten(rows - rows @ weights)


@right_answer
def masked(rewards, group_size):
    rows = _rows(rewards, group_size)
    own = torch.eye(group_size, dtype=torch.bool)
    repeated = rows[:, None, :].expand(-1, group_size, -1)
    others = repeated[:, ~own].reshape(len(rows), group_size, group_size - 1)
    return (rows - others.mean(dim=-1)).flatten()


@right_answer
def sums_repeated(rewards, group_size):
    with torch.no_grad():
        sums = _rows(rewards, group_size).sum(dim=-1).repeat_interleave(group_size)
        return rewards - (sums - rewards) / (group_size - 1)


@right_answer
def mean_of_differences(rewards, group_size):
    rows = _rows(rewards, group_size)
    return (rows[:, :, None] - rows[:, None, :]).sum(2).div(group_size - 1).reshape(rewards.shape)
