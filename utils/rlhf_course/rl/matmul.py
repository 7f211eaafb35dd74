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
from typing import Any

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


@contextmanager
def _fp32_precision(precision: str) -> Iterator[None]:
    """Set the precision that oneDNN may use for float32 products, until the block ends."""
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = precision
    try:
        yield
    finally:
        settings.fp32_precision = before


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
