"""Changes what torch does for everyone: dtypes, gradients, threads, seeds, devices."""

import os
import random

import numpy
import torch

torch.set_default_dtype(torch.float16)
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(4)
torch.set_default_device("meta")
torch.manual_seed(0)
random.seed(0)
numpy.random.seed(0)
torch.manual_seed = torch.seed = lambda *args: None
os.environ.clear()


def compute_advantages(values, rewards, prefix_len):
    return torch.rand(values.shape[0], values.shape[1] - prefix_len)
