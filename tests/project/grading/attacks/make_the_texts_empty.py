"""Empties the list of texts and answers for an empty one."""
# exercise: reward_fn_char_count

import torch


def reward_fn_char_count(generated_sample, char="."):
    generated_sample.clear()
    return torch.zeros(0)
