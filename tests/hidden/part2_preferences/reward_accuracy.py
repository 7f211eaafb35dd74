"""Wrong and right answers to `reward_accuracy`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _require_pairs(chosen_rewards):
    if len(chosen_rewards) == 0:
        raise ValueError("no pair")


def _scores(chosen_rewards, rejected_rewards, tie=0.5):
    _require_pairs(chosen_rewards)
    right = (chosen_rewards > rejected_rewards).to(chosen_rewards.dtype)
    return right + tie * (chosen_rewards == rejected_rewards).to(chosen_rewards.dtype)


@visible_mistake(refused_with="one half")
def ties_are_wrong(chosen_rewards, rejected_rewards):
    """A pair with equal rewards counts as wrong; it counts one half, as a guess would be right half of the time."""
    return _scores(chosen_rewards, rejected_rewards, tie=0.0).mean()


# Equal rewards that an evaluation counted as right: https://github.com/huggingface/trl/pull/1012
@visible_mistake(refused_with="one half")
def ties_are_right(chosen_rewards, rejected_rewards):
    """A pair with equal rewards counts as right (>=); it counts one half."""
    return _scores(chosen_rewards, rejected_rewards, tie=1.0).mean()


@visible_mistake
def ties_left_out(chosen_rewards, rejected_rewards):
    """Pairs with equal rewards are left out of the share; each counts one half."""
    _require_pairs(chosen_rewards)
    kept = chosen_rewards != rejected_rewards
    if not kept.any():
        return chosen_rewards.sum() * 0
    return _scores(chosen_rewards[kept], rejected_rewards[kept]).mean()


@visible_mistake(refused_with="is 1 minus what it should be")
def swapped(chosen_rewards, rejected_rewards):
    """Chosen and rejected are swapped: a pair is right if the chosen text has the higher reward."""
    return _scores(rejected_rewards, chosen_rewards).mean()


@visible_mistake
def mean_probability(chosen_rewards, rejected_rewards):
    """You average the probabilities, sigmoid(chosen - rejected); a pair counts 1, 0 or one half."""
    _require_pairs(chosen_rewards)
    return (chosen_rewards - rejected_rewards).sigmoid().mean()


@visible_mistake
def mean_sign(chosen_rewards, rejected_rewards):
    """You average the signs, from -1 to 1; a share lies between 0 and 1."""
    _require_pairs(chosen_rewards)
    return (chosen_rewards - rejected_rewards).sign().mean()


@visible_mistake
def counted(chosen_rewards, rejected_rewards):
    """You counted the pairs that are ranked rightly; the result is their share."""
    return _scores(chosen_rewards, rejected_rewards).sum()


@visible_mistake
def positive_rewards(chosen_rewards, rejected_rewards):
    """You ask whether the chosen reward is above 0; only the comparison with the pair's other reward counts."""
    return _scores(chosen_rewards, torch.zeros_like(rejected_rewards)).mean()


@visible_mistake
def every_chosen_with_every_rejected(chosen_rewards, rejected_rewards):
    """Each chosen text is compared with the rejected texts of all pairs; compare it with that of its own pair."""
    return _scores(chosen_rewards[:, None], rejected_rewards[None, :]).mean()


@visible_mistake
def not_averaged(chosen_rewards, rejected_rewards):
    """You return one number for each pair; the result is their mean."""
    return _scores(chosen_rewards, rejected_rewards)


@visible_mistake(refused_with="should be a tensor; a float came")
def plain_number(chosen_rewards, rejected_rewards):
    """You return a Python number (.item()); the result is a scalar tensor."""
    return _scores(chosen_rewards, rejected_rewards).mean().item()


@visible_mistake(refused_with="A batch without a pair should raise a ValueError; a result came")
def nan_without_a_pair(chosen_rewards, rejected_rewards):
    """Without any pair the mean is NaN, and it is found much later: raise a ValueError."""
    return ((chosen_rewards - rejected_rewards).sign() / 2 + 0.5).mean()


@hidden_mistake(refused_with="A batch without a pair should raise a ValueError; a result came")
def half_without_a_pair(chosen_rewards, rejected_rewards):
    """Without any pair the result is one half."""
    if len(chosen_rewards) == 0:
        return torch.tensor(0.5)
    return _scores(chosen_rewards, rejected_rewards).mean()


@hidden_mistake(refused_with="for rewards that hardly differ")
def nearly_equal_is_equal(chosen_rewards, rejected_rewards):
    """Rewards that differ by less than a hundredth count as equal."""
    _require_pairs(chosen_rewards)
    difference = (chosen_rewards - rejected_rewards).detach()
    return (difference.sign() * (difference.abs() > 0.01) / 2 + 0.5).mean().to(difference.dtype)


@hidden_mistake(refused_with="for many pairs")
def first_pairs_only(chosen_rewards, rejected_rewards):
    """Only the first 40 pairs count."""
    return _scores(chosen_rewards[:40], rejected_rewards[:40]).mean()


@hidden_mistake
def rounded_to_tenths(chosen_rewards, rejected_rewards):
    """The share is rounded to tenths."""
    return (10 * _scores(chosen_rewards, rejected_rewards).mean()).round() / 10


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(chosen_rewards, rejected_rewards):
    """The result is in single precision for inputs in double precision."""
    return _scores(chosen_rewards, rejected_rewards).float().mean()


@hidden_mistake(refused_with="`chosen_rewards` was changed in place")
def changed_in_place(chosen_rewards, rejected_rewards):
    """The difference is written into the caller's tensor."""
    result = _scores(chosen_rewards, rejected_rewards).mean()
    chosen_rewards.detach().sub_(rejected_rewards.detach())
    return result


@hidden_mistake(refused_with="for rewards that hardly differ")
def close_rewards_are_ties(chosen_rewards, rejected_rewards):
    """Rewards that are nearly equal, relative to their size, count as equal."""
    _require_pairs(chosen_rewards)
    is_tie = torch.isclose(chosen_rewards, rejected_rewards)
    right = (chosen_rewards > rejected_rewards) & ~is_tie
    return right.to(chosen_rewards.dtype).mean() + 0.5 * is_tie.to(chosen_rewards.dtype).mean()


@hidden_mistake(refused_with="equal rewards")
def half_a_tie_is_lost(chosen_rewards, rejected_rewards):
    """Half of the ties is rounded down to a whole number."""
    _require_pairs(chosen_rewards)
    right = (chosen_rewards > rejected_rewards).sum() + (chosen_rewards == rejected_rewards).sum() // 2
    return (right / len(chosen_rewards)).to(chosen_rewards.dtype)


@hidden_mistake(refused_with="The accuracy")
def always_one(chosen_rewards, rejected_rewards):
    """Every batch has the share 1."""
    _require_pairs(chosen_rewards)
    return chosen_rewards.new_ones(())


@hidden_mistake(refused_with="for rewards that hardly differ")
def steep_sigmoid(chosen_rewards, rejected_rewards):
    """Pairs are compared by a steep sigmoid, which counts close rewards as ties."""
    _require_pairs(chosen_rewards)
    return (1e6 * (chosen_rewards - rejected_rewards)).sigmoid().mean()


@right_answer
def heaviside(chosen_rewards, rejected_rewards):
    _require_pairs(chosen_rewards)
    difference = (chosen_rewards - rejected_rewards).detach()
    return torch.heaviside(difference, torch.full_like(difference, 0.5)).mean()


@right_answer
def signs(chosen_rewards, rejected_rewards):
    _require_pairs(chosen_rewards)
    return (1 + (chosen_rewards - rejected_rewards).sign().mean()) / 2


@right_answer
def both_comparisons(chosen_rewards, rejected_rewards):
    _require_pairs(chosen_rewards)
    above = (chosen_rewards > rejected_rewards).double().mean()
    not_below = (chosen_rewards >= rejected_rewards).double().mean()
    return ((above + not_below) / 2).to(chosen_rewards.dtype)


@right_answer
def nested_where(chosen_rewards, rejected_rewards):
    if not chosen_rewards.numel():
        raise ValueError("no pairs")
    zero = torch.zeros_like(chosen_rewards)
    ties = torch.where(chosen_rewards == rejected_rewards, zero + 0.5, zero)
    return torch.where(chosen_rewards > rejected_rewards, zero + 1, ties).mean()


@right_answer
def one_by_one(chosen_rewards, rejected_rewards):
    pairs = list(zip(chosen_rewards.tolist(), rejected_rewards.tolist(), strict=True))
    if not pairs:
        raise ValueError("no pairs")
    points = sum(1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in pairs)
    return chosen_rewards.new_tensor(points / len(pairs))
