"""What drivers share: results as plain data, and a transformer that is no longer the pretrained one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def plain(value: Any) -> Any:
    """A value as data; of what is none, the type's name in angle brackets."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return f"<{type(value).__name__}>"


def flat(tensors: Iterable[Tensor | None]) -> Tensor:
    """Tensors as one vector; nothing of those that are None."""
    parts = [one.detach().flatten() for one in tensors if one is not None]
    return torch.cat(parts) if parts else torch.zeros(0)


def shapes(tensors: Iterable[Tensor]) -> list[list[int]]:
    """The shape of each."""
    return [list(one.shape) for one in tensors]


def shift(parameters: Sequence[nn.Parameter], noise: float) -> None:
    """Add a wave of that height to each parameter, so that a transformer is no longer the pretrained one."""
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            wave = torch.sin(torch.arange(parameter.numel(), dtype=parameter.dtype) * 0.7 + number)
            parameter += noise * wave.reshape(parameter.shape)
