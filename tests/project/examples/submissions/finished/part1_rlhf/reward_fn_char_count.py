"""The reward of the first runs: how often a character occurs."""

import torch


def reward_fn_char_count(generated_sample, char="."):
    counts = []
    for text in generated_sample:
        n = sum(1 for c in text if c == char)
        counts.append(n)
    print("counts:", counts[:3])  # handy while training
    return torch.tensor(counts, dtype=torch.float32)
