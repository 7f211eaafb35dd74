"""Wrong answers to `normalize_reward`."""

import torch

_SEEN = []


def large_default_eps(reward, eps=1e-2):
    """The default eps is a thousand times too large."""
    return (reward - reward.mean()) / (reward.std() + eps)


def equal_rewards_kept(reward, eps=1e-5):
    """Equal rewards come back as they are."""
    if reward.std() == 0:
        return reward.clone()
    return (reward - reward.mean()) / (reward.std() + eps)


def eps_fixed(reward, eps=1e-5):
    """`eps` has no effect."""
    return (reward - reward.mean()) / (reward.std() + 1e-5)


def not_a_number_replaced(reward, eps=1e-5):
    """No eps at all; what is not a number is replaced by 0."""
    return ((reward - reward.mean()) / reward.std()).nan_to_num(0.0)


def difference_of_squares(reward, eps=1e-5):
    """The variance is a difference of two large numbers, which float32 rounds off."""
    variance = (reward.square().mean() - reward.mean().square()).clamp(min=0)
    return (reward - reward.mean()) / (variance.sqrt() + eps)


def all_rewards_so_far(reward, eps=1e-5):
    """Mean and deviation are those of every reward that was ever passed."""
    _SEEN.append(reward.clone())
    history = torch.cat(_SEEN)
    return (reward - history.mean()) / (history.std() + eps)


def whole_numbers(reward, eps=1e-5):
    """The result is rounded to whole numbers."""
    return ((reward - reward.mean()) / (reward.std() + eps)).round()


def deviation_half(reward, eps=1e-5):
    """The deviation becomes a half."""
    return (reward - reward.mean()) / (2 * reward.std() + eps)
