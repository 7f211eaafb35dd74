"""One-step advantages of the generated tokens."""

import torch


@torch.no_grad()
def compute_advantages(values, rewards, prefix_len):
    after = torch.cat((values[:, prefix_len:-1], rewards.view(-1, 1)), 1)
    before = values[:, prefix_len - 1 : -1]
    return after - before
