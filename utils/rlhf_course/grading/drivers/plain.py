"""Convert results to plain data, and change the parameters of a transformer; every module of drivers uses these."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.torch_settings import changed_settings, torch_settings

# No answer is likely to seed torch with this number.
_SEED = 7_919_731


def plain(value: Any) -> Any:
    """Return a value as tensors, numbers, strings, lists and dicts; any other object becomes "<name of its type>"."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


def flat(tensors: Iterable[Tensor | None]) -> Tensor:
    """Return tensors as one vector, in which a tensor that is None has no entries."""
    parts = [tensor.detach().flatten() for tensor in tensors if tensor is not None]
    return torch.cat(parts) if parts else torch.zeros(0)


@contextmanager
def watched_settings() -> Iterator[dict[str, Any]]:
    """Yield a dict; when the block ends, it holds which settings of torch the block has changed.

    These are `settings`, a list of what messages call them, and `gradients`, whether torch computes gradients.
    """
    before = torch_settings()
    report: dict[str, Any] = {"settings": [], "gradients": torch.is_grad_enabled()}
    yield report
    computes_gradients = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    report |= {"settings": changed_settings(before), "gradients": computes_gradients}


@contextmanager
def watched_torch() -> Iterator[dict[str, Any]]:
    """Seed torch, and do what `watched_settings` does; `seeded` is whether the block has seeded torch anew."""
    torch.default_generator.manual_seed(_SEED)
    with watched_settings() as report:
        yield report
    report["seeded"] = torch.initial_seed() != _SEED


@contextmanager
def watched_args(trainer: Any) -> Iterator[dict[str, bool]]:
    """Yield a dict; when the block ends, `args` in it is whether the trainer's settings are as they were."""
    args, before = trainer.args, dict(vars(trainer.args))
    report = {"args": True}
    yield report
    report["args"] = trainer.args is args and vars(args) == before


def shapes(tensors: Iterable[Tensor]) -> list[list[int]]:
    """Return the shape of each tensor."""
    return [list(tensor.shape) for tensor in tensors]


def shift(parameters: Sequence[nn.Parameter], noise: float) -> None:
    """Add a sine wave to each parameter, so that a transformer differs from the pretrained one.

    Args:
        parameters: The parameters, which are changed in place.
        noise: The height of the wave.
    """
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            wave = torch.sin(torch.arange(parameter.numel(), dtype=parameter.dtype) * 0.7 + number)
            parameter.add_(noise * wave.reshape(parameter.shape))


def perturb(parameters: Sequence[nn.Parameter], noise: float, gain: float, phase: float) -> None:
    """Multiply each parameter by a factor, and add a sine wave to it.

    Args:
        parameters: The parameters, which are changed in place.
        noise: The height of the wave.
        gain: The factor.
        phase: The phase of the first parameter's wave.
    """
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            wave = torch.sin(torch.arange(parameter.numel(), dtype=parameter.dtype) * 0.7 + number + phase)
            parameter.mul_(gain).add_(noise * wave.reshape(parameter.shape))
