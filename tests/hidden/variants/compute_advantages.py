"""Right answers to `compute_advantages`, in other words than the reference's."""

import torch
from torch.nn.functional import pad


@torch.no_grad()
def clone_and_assign(values, rewards, prefix_len):
    q = values[:, prefix_len:].clone()
    q[:, -1] = rewards
    return q - values[:, prefix_len - 1 : -1]


def detached(values, rewards, prefix_len):
    gen_len = values.shape[1] - prefix_len
    q = torch.concat((values[:, -gen_len:-1], rewards.unsqueeze(-1)), dim=-1)
    return (q - values[:, -gen_len - 1 : -1]).detach()


@torch.no_grad()
def loops(values, rewards, prefix_len):
    batch, seq = values.shape
    result = torch.zeros(batch, seq - prefix_len)
    for row in range(batch):
        for position in range(prefix_len, seq):
            q = rewards[row] if position == seq - 1 else values[row, position]
            result[row, position - prefix_len] = q - values[row, position - 1]
    return result


@torch.inference_mode()
def padded(values, rewards, prefix_len):
    following = pad(values[:, 1:-1], (0, 1))
    following = following + pad(rewards[:, None], (values.shape[1] - 2, 0))
    return (following - values[:, :-1])[:, prefix_len - 1 :]


@torch.no_grad()
def difference_then_correction(values, rewards, prefix_len):
    result = values.diff(dim=1)[:, prefix_len - 1 :]
    result[:, -1] += rewards - values[:, -1]
    return result


@torch.no_grad()
def where(values, rewards, prefix_len):
    is_last = torch.arange(values.shape[1]) == values.shape[1] - 1
    q = torch.where(is_last, rewards[:, None], values)
    return q[:, prefix_len:] - values[:, prefix_len - 1 : -1]
