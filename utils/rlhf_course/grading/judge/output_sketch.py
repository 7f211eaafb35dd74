"""Compute one number from all that an answer returned, by which answers that do the same are found.

A hash of rounded outputs would differ where two right computations round differently. A number can be compared with a
tolerance.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

_MAX_ENTRIES = 300_000
_DIGITS = 6
_NOT_A_NUMBER, _LARGEST = 0.375, 10**30


class OutputSketch:
    """A weighted mean of the outputs of a sequence of calls, each mapped to an interval from -1 to 1."""

    def __init__(self) -> None:
        self._sum, self._weights, self._calls = 0.0, 0.0, 0

    def add(self, output: Any) -> None:
        """Take an output into account; what is neither a number nor made of numbers counts by its type."""
        self._calls += 1
        weight = 0.5 + 0.618034 * self._calls % 1  # Outputs that change places give another number.
        self._sum += weight * _sketch(output)
        self._weights += weight

    @property
    def number(self) -> float | None:
        """The number; None if no call returned anything."""
        return round(self._sum / self._weights, _DIGITS) if self._calls else None


def _sketch(output: Any) -> float:
    try:
        return _weighted_mean(_flat(output)[:_MAX_ENTRIES])
    except RuntimeError:  # A sparse tensor, or a list that holds itself; its test says what is wrong with it.
        return 0.0


def _weighted_mean(values: Tensor) -> float:
    if not values.numel():
        return 0.0
    squashed = torch.nan_to_num(values / (1 + values.abs()), nan=_NOT_A_NUMBER)
    weights = _weights()[: len(values)]
    return float((weights * squashed).sum() / weights.sum())


@cache
def _weights() -> Tensor:
    """Return the weights of the entries of an output."""
    return 1 + torch.sin(torch.arange(1, _MAX_ENTRIES + 1, dtype=torch.float64)) / 2


def _flat(output: Any) -> Tensor:
    """Return the numbers of an output in one row."""
    if isinstance(output, Tensor):
        return output.detach().double().flatten()
    if isinstance(output, list | tuple) and output:
        return torch.cat([_flat(item) for item in output])
    number = output if isinstance(output, int | float) else len(type(output).__name__)
    return torch.tensor([float(max(min(number, _LARGEST), -_LARGEST))], dtype=torch.float64)
