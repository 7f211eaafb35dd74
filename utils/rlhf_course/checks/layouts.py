"""Lay copies of tensors out in memory: as slices of larger tensors, or with the strides of the original."""

import torch
from torch import Tensor


def slice_of_larger(tensor: Tensor) -> Tensor:
    """Return a copy that is a slice of a larger tensor, which has one more entry at each end of each axis."""
    larger = torch.zeros([size + 2 for size in tensor.shape], dtype=tensor.dtype)
    inside = tuple(slice(1, size + 1) for size in tensor.shape)
    larger[inside] = tensor.detach()
    return larger[inside]


def copy_with_strides(tensor: Tensor) -> Tensor:
    """Return a copy without a graph, with the tensor's strides unless several of its entries share their memory."""
    if 0 in tensor.stride():
        return tensor.detach().clone()
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor.detach())
