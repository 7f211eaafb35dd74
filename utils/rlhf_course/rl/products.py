"""Float32 matrix products by the quicker of the two libraries that PyTorch holds for a CPU.

PyTorch multiplies by MKL, which leaves half of an AMD processor's vector units idle; oneDNN uses all of them. What hands
products to oneDNN is the setting that also allows it to round to bfloat16 inside. It does so only where a processor has
instructions for whole bfloat16 tiles, so a trial on this machine decides: the setting is used where products stay float32
products and come much sooner.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor

# The relative error of a float32 product is below 1e-6, and that of a bfloat16 one above 1e-3.
_LARGEST_ERROR = 1e-5
# Wide enough that the same machine always decides the same way.
_LEAST_GAIN = 1.5


@contextmanager
def quick_products() -> Iterator[None]:
    """While it lasts, matrix products on the CPU are made by oneDNN, where that is exact and quicker."""
    with _setting("bf16") if _onednn_is_exact_and_quicker() else nullcontext():
        yield


def usual_products() -> AbstractContextManager[None]:
    """While it lasts, products are made as they are outside of `quick_products`: for many tiny ones, which oneDNN is slow to begin."""
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
    if not torch.backends.mkldnn.is_available():
        return False
    source = torch.Generator().manual_seed(0)  # of its own: a run's randomness stays where it was
    one, other = (torch.randn(512, 512, generator=source, device="cpu") for _ in range(2))
    exact = one.double() @ other.double()
    usual = _seconds(one, other)
    with _setting("bf16"):
        error = ((one @ other).double() - exact).norm() / exact.norm()
        return error.item() < _LARGEST_ERROR and _LEAST_GAIN * _seconds(one, other) < usual


def _seconds(one: Tensor, other: Tensor) -> float:
    """The shortest time of a few products."""
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        one @ other
        taken.append(time.perf_counter() - began)
    return min(taken)
