"""The reward of the first runs: how often a character occurs."""

import torch


def reward_fn_char_count(generated_sample, char="."):
    return torch.tensor([text.count(".") for text in generated_sample])
