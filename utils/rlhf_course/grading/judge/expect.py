"""Compare results in hidden tests, with failure messages for the learner that hold no hidden number."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def expect(
    got: Any, wanted: Tensor | Sequence[Tensor], what: str, why: str = "", rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Assert that a result is a float tensor with the wanted shape and numbers.

    Args:
        got: The result of the answer.
        wanted: The right result; several tensors of one shape if each of them is right.
        what: The result and its input in words, such as "the penalty of one text".
        why: What the wanted numbers are, for a learner who got others, such as "it is a mean over texts and positions".
        rtol: The relative tolerance.
        atol: The absolute tolerance.

    Raises:
        AssertionError: The result differs; the message says in which respect.
    """
    right = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    got = expect_floats(got, right[0].dim(), what)
    for dimension, (size, wanted_size) in enumerate(zip(got.shape, right[0].shape, strict=True)):
        assert size == wanted_size, f"{what} has another size than wanted along dimension {dimension}"
    assert bool(torch.isfinite(got).all()), f"{what} is not finite (nan or inf)"
    if not any(torch.allclose(got, tensor.detach().double(), rtol=rtol, atol=atol) for tensor in right):
        difference = _difference(got, right[0].detach().double(), rtol, atol)
        raise AssertionError(f"{what} {difference}{f': {why}' if why else ''}")


def expect_floats(got: Any, dimensions: int, what: str) -> Tensor:
    """Assert that a result is a float tensor with some number of dimensions.

    Args:
        got: The result of the answer.
        dimensions: The wanted number of dimensions.
        what: The result and its input in words.

    Returns:
        The result in double precision, without gradients.

    Raises:
        AssertionError: The result has another type, dtype, device or number of dimensions.
    """
    assert isinstance(got, Tensor), f"{what} should be a tensor; {_type_in_words(got)} came"
    assert got.is_floating_point(), f"{what} should hold floats; {str(got.dtype).removeprefix('torch.')} came"
    assert got.device.type == "cpu", f"{what} should be on the device of its input; it is on another"
    wanted = (
        f"{dimensions} dimension{'s' if dimensions > 1 else ''}" if dimensions else "no dimension: it is one number"
    )
    assert got.dim() == dimensions, f"{what} should have {wanted}; {got.dim()} came"
    return got.detach().double()


def _type_in_words(got: Any) -> str:
    return "nothing (None)" if got is None else f"a {type(got).__name__}"


def _difference(got: Tensor, wanted: Tensor, rtol: float, atol: float) -> str:
    """Return in words how the numbers of two tensors differ, if they differ in a simple way."""
    if torch.allclose(got, -wanted, rtol=rtol, atol=atol):
        return "has the wrong sign"
    if not bool(got.any()):
        return "is zero, and should not be"
    if got.numel() == 1:
        return "is too large" if float(got) > float(wanted) else "is too small"
    factor = float((got * wanted).sum() / (wanted * wanted).sum().clamp(min=1e-30))
    if torch.allclose(got, factor * wanted, rtol=10 * rtol, atol=atol):
        return f"is too {'large' if factor > 1 else 'small'} throughout, by one factor"
    offset = (got - wanted).mean()
    if torch.allclose(got, wanted + offset, rtol=rtol, atol=10 * atol):
        return f"is too {'large' if float(offset) > 0 else 'small'} throughout, by one amount"
    return "is not right"
