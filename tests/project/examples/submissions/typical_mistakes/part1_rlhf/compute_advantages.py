"""One-step advantages of the generated tokens."""

import torch


@torch.no_grad()
def compute_advantages(values, rewards, prefix_len):
    next_values = values[:, prefix_len:]
    now = values[:, prefix_len - 1 : -1]
    return rewards.unsqueeze(1) + next_values - now
