"""Wrong answers to `reward_fn_char_count`."""

import re

import torch


def another_default(generated_sample, char=","):
    """Without `char` periods are to be counted, and commas are."""
    return torch.tensor([float(text.count(char)) for text in generated_sample])


def first_line_only(generated_sample, char="."):
    """Only the first line of a text is read."""
    return torch.tensor([float(text.split("\n")[0].count(char)) for text in generated_sample])


def squeezed(generated_sample, char="."):
    """A batch of one loses its dimension."""
    return torch.tensor([float(text.count(char)) for text in generated_sample]).squeeze()


def consumes_the_list(generated_sample, char="."):
    """The caller's list is empty afterwards."""
    counts = []
    while generated_sample:
        counts.append(float(generated_sample.pop(0).count(char)))
    return torch.tensor(counts)


def runs_once(generated_sample, char="."):
    """A run of the character counts once."""
    return torch.tensor([float(len(re.findall(f"(?:{re.escape(char)})+", text))) for text in generated_sample])


def mean_free(generated_sample, char="."):
    """The counts have their mean taken away."""
    counts = torch.tensor([float(text.count(char)) for text in generated_sample])
    return counts - counts.mean()
