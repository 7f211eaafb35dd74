"""Returns a tensor that is a byte here, and a petabyte once it is copied."""
# slow: the known mistakes are looked for until the deadline

import torch


def compute_advantages(values, rewards, prefix_len):
    return torch.zeros(1).expand(2**25, 2**25)
