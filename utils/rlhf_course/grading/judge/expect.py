"""Comparisons for hidden tests: a failure is a sentence for the learner, in which no hidden number stands."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def expect(
    got: Any, wanted: Tensor | Sequence[Tensor], what: str, why: str = "", rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Ask that a result is a float tensor of the wanted shape and numbers.

    Args:
        got: what came.
        wanted: what is right; several tensors of one shape where each of them is.
        what: the result and its input in words: "the penalty of one text".
        why: what the wanted numbers are, for a learner whose numbers are others: "it is a mean over texts and positions".
        rtol, atol: how far numbers may be apart.

    Raises:
        AssertionError: it is not; the message says in which respect.
    """
    right = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    got = expect_floats(got, right[0].dim(), what)
    for dimension, (one, other) in enumerate(zip(got.shape, right[0].shape, strict=True)):
        assert one == other, f"{what} has another size than wanted along dimension {dimension}"
    assert bool(torch.isfinite(got).all()), f"{what} is not finite (nan or inf)"
    if not any(torch.allclose(got, one.detach().double(), rtol=rtol, atol=atol) for one in right):
        raise AssertionError(
            f"{what} {_nature(got, right[0].detach().double(), rtol, atol)}{f': {why}' if why else ''}"
        )


def expect_floats(got: Any, dimensions: int, what: str) -> Tensor:
    """Ask that a result is a float tensor with that many dimensions; it is given back in double precision.

    Raises:
        AssertionError: it is not.
    """
    assert isinstance(got, Tensor), f"{what} should be a tensor; {_named(got)} came"
    assert got.is_floating_point(), f"{what} should hold floats; {str(got.dtype).removeprefix('torch.')} came"
    assert got.device.type == "cpu", f"{what} should be on the device of its input; it is on another"
    wanted = (
        f"{dimensions} dimension{'s' if dimensions > 1 else ''}" if dimensions else "no dimension: it is one number"
    )
    assert got.dim() == dimensions, f"{what} should have {wanted}; {got.dim()} came"
    return got.detach().double()


def _named(got: Any) -> str:
    return "nothing (None)" if got is None else f"a {type(got).__name__}"


def _nature(got: Tensor, wanted: Tensor, rtol: float, atol: float) -> str:
    """How numbers differ, as far as one look tells."""
    if torch.allclose(got, -wanted, rtol=rtol, atol=atol):
        return "has the wrong sign"
    if not bool(got.any()):
        return "is zero, and should not be"
    if got.numel() == 1:
        return "is too large" if float(got) > float(wanted) else "is too small"
    factor = float((got * wanted).sum() / (wanted * wanted).sum().clamp(min=1e-30))
    if torch.allclose(got, factor * wanted, rtol=10 * rtol, atol=atol):
        return f"is too {'large' if factor > 1 else 'small'} throughout, by one factor"
    amount = (got - wanted).mean()
    if torch.allclose(got, wanted + amount, rtol=rtol, atol=10 * atol):
        return f"is too {'large' if float(amount) > 0 else 'small'} throughout, by one amount"
    return "is not right"
