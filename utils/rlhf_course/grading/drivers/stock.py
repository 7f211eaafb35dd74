"""Tiny language models booted ahead of time, for a process that forks once for each answer it runs."""

from contextlib import contextmanager
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rlhf_course.checks.tiny import gpt2_folder, on_the_cpu
from rlhf_course.rl import models

_STOCK: list[Any] = []
_boot_folder = models._boot_folder


def lay_in(count: int) -> None:
    """Boot so many tiny models. No backward pass runs, after which a process could not fork and go on with gradients."""
    folder = Path(gpt2_folder())
    while len(_STOCK) < count:
        _STOCK.append(_boot_folder(folder, str(folder), torch.device("cpu")))


def _boot_from_stock(folder: Path, name: str, device: torch.device) -> Any:
    if _STOCK and str(folder) == gpt2_folder() and device == torch.device("cpu"):
        return _STOCK.pop()
    return _boot_folder(folder, name, device)


@contextmanager
def tiny_models() -> Iterator[str]:
    """While it lasts, models load on the CPU, and the tiny one from stock where there is any; gives its folder."""
    models._boot_folder = _boot_from_stock
    try:
        with on_the_cpu():
            yield gpt2_folder()
    finally:
        models._boot_folder = _boot_folder
