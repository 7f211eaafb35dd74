"""Read and restore the settings of torch that hold for all code of a process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

_backends: Any = torch.backends  # Its stubs do not know the precisions.
# Half of this number is denormal, in double precision.
_LEAST_NORMAL = 2.0**-1022


@dataclass(frozen=True)
class _Setting:
    """A setting of torch.

    Attributes:
        read: Returns its value.
        write: Takes such a value.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None)
    if torch.get_default_device() != device:
        torch.set_default_device(device)


def _anomaly_detection() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _float32_products() -> tuple[str, str]:
    """Return the precision of products of float32 matrices, for all libraries and for CUDA's.

    That of oneDNN is not read: a run in another thread may change it at any time (`rl/matmul.py`). Whatever sets the
    precision of all products changes CUDA's, too.
    """
    found = _backends.fp32_precision, _backends.cuda.matmul.fp32_precision
    everywhere, cuda = ("ieee" if precision == "none" else precision for precision in found)
    return everywhere, cuda


def _set_float32_products(precisions: tuple[str, str]) -> None:
    everywhere, cuda = precisions
    torch.set_float32_matmul_precision("highest" if cuda == "ieee" else "high")
    if _float32_products()[0] != everywhere:
        _backends.fp32_precision = "none" if everywhere == "ieee" else everywhere


def _short_float_products() -> tuple[bool, bool]:
    matmul = _backends.cuda.matmul
    return matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction


def _set_short_float_products(values: tuple[bool, bool]) -> None:
    matmul = _backends.cuda.matmul
    matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction = values


def _determinism() -> tuple[Any, ...]:
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return (*algorithms, _backends.cudnn.deterministic, _backends.cudnn.benchmark)


def _set_determinism(values: tuple[Any, ...]) -> None:
    torch.use_deterministic_algorithms(values[0], warn_only=values[1])
    _backends.cudnn.deterministic, _backends.cudnn.benchmark = values[2:]


def _autocast() -> list[tuple[bool, torch.dtype]]:
    return [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]


def _set_autocast(values: list[tuple[bool, torch.dtype]]) -> None:
    for kind, (is_enabled, dtype) in zip(("cpu", "cuda"), values, strict=True):
        torch.set_autocast_enabled(kind, is_enabled)
        torch.set_autocast_dtype(kind, dtype)


# The settings by what a message calls them. Gradients are not among them: whoever runs an answer enables them anew.
_SETTINGS = {
    "its default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
    "its default device": _Setting(torch.get_default_device, _set_default_device),
    "its detection of anomalies": _Setting(_anomaly_detection, lambda values: torch.set_anomaly_enabled(*values)),
    "the precision of its float32 products": _Setting(_float32_products, _set_float32_products),
    "the precision of its float16 and bfloat16 products": _Setting(_short_float_products, _set_short_float_products),
    "whether its algorithms are deterministic": _Setting(_determinism, _set_determinism),
    "its automatic casts": _Setting(_autocast, _set_autocast),
    "its number of threads": _Setting(torch.get_num_threads, torch.set_num_threads),
    "how it rounds numbers near 0": _Setting(lambda: not _LEAST_NORMAL / 2, torch.set_flush_denormal),
}
SETTINGS = tuple(_SETTINGS)


def torch_settings() -> dict[str, Any]:
    """Return the value of each setting, by what a message calls it."""
    return {words: setting.read() for words, setting in _SETTINGS.items()}


def changed_settings(before: dict[str, Any]) -> list[str]:
    """Return what a message calls the settings that are others than they were before."""
    return [words for words, value in torch_settings().items() if value != before[words]]


@contextmanager
def preserved_torch_settings() -> Iterator[None]:
    """Restore the settings of torch when the block ends, in which an answer runs."""
    before = torch_settings()
    try:
        yield
    finally:
        for words in changed_settings(before):
            _SETTINGS[words].write(before[words])
