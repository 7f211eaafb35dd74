"""Wrong answers to `compute_advantages`."""

import torch


def _advantages(values, rewards, prefix_len):
    q = torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1)
    return (q - values[:, prefix_len - 1 : -1]).detach()


def one_reward_for_all(values, rewards, prefix_len):
    """Every text gets the batch's mean reward."""
    return _advantages(values, rewards.mean().expand(values.shape[0]), prefix_len)


def prefix_of_two_at_least(values, rewards, prefix_len):
    """A prefix of one token is taken for one of two."""
    return _advantages(values, rewards, max(prefix_len, 2))


def last_dimension_squeezed(values, rewards, prefix_len):
    """A single generated token loses its dimension."""
    return _advantages(values, rewards, prefix_len).squeeze(-1)


def first_dimension_squeezed(values, rewards, prefix_len):
    """A single text loses its dimension."""
    return _advantages(values, rewards, prefix_len).squeeze(0)


def rewards_in_reverse(values, rewards, prefix_len):
    """The texts get each other's rewards."""
    return _advantages(values, rewards.flip(0), prefix_len)


def normalised(values, rewards, prefix_len):
    """The advantages are normalised, which the objective does by itself."""
    advantages = _advantages(values, rewards, prefix_len)
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped(values, rewards, prefix_len):
    """The advantages are clipped to the range from -1 to 1."""
    return _advantages(values, rewards, prefix_len).clip(-1, 1)
