"""Float32 matrix products by the quicker of the two libraries that PyTorch holds for a CPU.

PyTorch multiplies by MKL, which leaves half of the vector units idle on an AMD processor with vectors of 512 bits; oneDNN
uses all of them. What hands products to oneDNN is the setting that also allows it to round to bfloat16 inside. It does so only
where a processor has instructions for whole bfloat16 tiles, so a trial decides: the setting is used where products stay float32
products.
"""

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch

# The relative error of a float32 product is below 1e-6, and that of a bfloat16 one above 1e-3.
_LARGEST_ERROR = 1e-5
_CPUINFO = Path("/proc/cpuinfo")


@contextmanager
def onednn_matmul() -> Iterator[None]:
    """While it lasts, matrix products on the CPU are made by oneDNN, where that is exact and quicker."""
    with _setting("bf16") if _onednn_is_exact_and_quicker() else nullcontext():
        yield


def usual_products() -> AbstractContextManager[None]:
    """While it lasts, products are made as they are outside of `onednn_matmul`: for many tiny ones, which oneDNN is slow to begin."""
    return _setting("none")


@contextmanager
def _setting(precision: str) -> Iterator[None]:
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    products.fp32_precision = precision
    try:
        yield
    finally:
        products.fp32_precision = before


@cache
def _onednn_is_exact_and_quicker() -> bool:
    """Decided by what the processor is, so that the same machine always decides the same way, and by a trial of exactness."""
    return _mkl_leaves_units_idle() and torch.backends.mkldnn.is_available() and _error_of_onednn() < _LARGEST_ERROR


def _mkl_leaves_units_idle() -> bool:
    """Whether MKL multiplies here, on a processor of AMD's with vectors of 512 bits."""
    wide = torch.backends.mkl.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and "AuthenticAMD" in (_CPUINFO.read_text() if _CPUINFO.exists() else platform.processor())


def _error_of_onednn() -> float:
    """The relative error of a product that it makes in `onednn_matmul`."""
    source = torch.Generator().manual_seed(0)  # of its own: a run's randomness stays where it was
    one, other = (torch.randn(256, 256, generator=source, device="cpu") for _ in range(2))
    exact = one.double() @ other.double()
    with _setting("bf16"):
        return (((one @ other).double() - exact).norm() / exact.norm()).item()
