"""Returns whole numbers, bools and half precision, each time another."""

import random

import torch


def compute_advantages(values, rewards, prefix_len):
    kind = random.choice([torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16])
    return values[:, prefix_len:].to(kind)
