"""The reward of the first runs: how often a character occurs."""

import torch


def reward_fn_char_count(generated_sample: list[str], char: str = "."):
    return torch.Tensor([s.count(char) for s in generated_sample])
