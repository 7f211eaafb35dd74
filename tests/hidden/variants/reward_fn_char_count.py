"""Right answers to `reward_fn_char_count`, in other words than the reference's."""

import numpy as np
import torch


def dtype_named(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.float32)


def cast_afterwards(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample]).float()


def loop(generated_sample, char="."):
    counts = torch.zeros(len(generated_sample))
    for number, text in enumerate(generated_sample):
        for one in text:
            if one == char:
                counts[number] += 1
    return counts


def from_numpy(generated_sample, char="."):
    return torch.from_numpy(np.array([list(text).count(char) for text in generated_sample], dtype=np.float32))


def double_precision(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.float64)
