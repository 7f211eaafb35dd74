"""Choose the library that multiplies float32 matrices on a CPU: MKL or oneDNN.

PyTorch uses MKL by default. On AMD processors with 512-bit vectors MKL leaves half of the vector units idle, and oneDNN
uses all of them. PyTorch gives products to oneDNN only under a setting that also allows oneDNN to round to bfloat16.
oneDNN does round where a processor has instructions for bfloat16 tiles, so the setting is used only where a trial
product has float32 accuracy.
"""

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch

# The relative error of a float32 product is below 1e-6, and that of a bfloat16 product above 1e-3.
_LARGEST_ERROR = 1e-5
_CPUINFO = Path("/proc/cpuinfo")


@contextmanager
def onednn_matmul() -> Iterator[None]:
    """Let oneDNN multiply matrices on the CPU until the block ends, where it is exact and faster than MKL."""
    with _fp32_precision("bf16") if _onednn_is_exact_and_quicker() else nullcontext():
        yield


def onednn_in_use() -> bool:
    """Return whether oneDNN multiplies matrices now."""
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    return bool(settings.fp32_precision == "bf16")


def default_matmul() -> AbstractContextManager[None]:
    """Let PyTorch multiply matrices as it does by default until the block ends, also within `onednn_matmul`.

    It is for many small products, because oneDNN takes long to start each one.
    """
    return _fp32_precision("none")


# How many blocks ask for each precision now. Blocks in several threads may begin and end in any order.
_blocks = {"bf16": 0, "none": 0}
_outside_blocks = "none"
_lock = Lock()


@contextmanager
def _fp32_precision(precision: Literal["bf16", "none"]) -> Iterator[None]:
    """Set the precision that oneDNN may use for float32 products, until the block ends; "none" wins over "bf16"."""
    _count_block(precision, 1)
    try:
        yield
    finally:
        _count_block(precision, -1)


def _count_block(precision: Literal["bf16", "none"], change: int) -> None:
    """Count a block that begins or ends, and set what the blocks ask for, or what was set before the first began."""
    global _outside_blocks
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _lock:
        if not any(_blocks.values()):
            _outside_blocks = settings.fp32_precision
        _blocks[precision] += change
        settings.fp32_precision = "none" if _blocks["none"] else "bf16" if _blocks["bf16"] else _outside_blocks


@cache
def _onednn_is_exact_and_quicker() -> bool:
    """Decide by the kind of processor, so that a machine always decides alike, and by the error of a trial product."""
    return _mkl_is_slow() and torch.backends.mkldnn.is_available() and _onednn_error() < _LARGEST_ERROR


def _mkl_is_slow() -> bool:
    """Return whether PyTorch uses MKL on an AMD processor with 512-bit vectors."""
    wide = torch.backends.mkl.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and "AuthenticAMD" in (_CPUINFO.read_text() if _CPUINFO.exists() else platform.processor())


def _onednn_error() -> float:
    """Return the relative error of a float32 product by oneDNN."""
    generator = torch.Generator().manual_seed(0)  # torch's default generator keeps its state
    left, right = (torch.randn(256, 256, generator=generator, device="cpu") for _ in range(2))
    exact = left.double() @ right.double()
    with _fp32_precision("bf16"):
        return (((left @ right).double() - exact).norm() / exact.norm()).item()
