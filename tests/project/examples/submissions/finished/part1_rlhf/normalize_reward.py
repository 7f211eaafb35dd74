"""Rewards on one scale, whatever the reward function's own."""

import torch


def normalize_reward(reward, eps=1e-5):
    centered = reward - torch.mean(reward)
    variance = (centered**2).mean()
    return centered / torch.sqrt(variance + eps)
