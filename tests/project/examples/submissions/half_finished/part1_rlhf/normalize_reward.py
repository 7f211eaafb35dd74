"""Rewards on one scale, whatever the reward function's own."""


def normalize_reward(reward, eps=1e-5):
    mean, std = reward.mean(), reward.std()
    return (reward - mean) / (std + eps)
