"""Rewards on one scale, whatever the reward function's own."""


def normalize_reward(reward, eps=1e-5):
    reward -= reward.mean()
    reward /= reward.std() + eps
    return reward
