"""Find how a wrong result is related to the right one, in a sentence that names a cause only if the numbers show it."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., Tensor]
# A relation has to hold much better than chance: its error is at most this share of the right result's spread.
_TOLERANCE = 1e-4
_MIN_ENTRIES = 3
# The numbers of decimals that a result may be found to be rounded to. With fewer, equality may be a coincidence.
_DECIMALS = range(3, 7)


def find_relation(
    got: Tensor,
    wanted: Tensor,
    formula: Formula | None = None,
    exact: Mapping[str, Any] | None = None,
    among: Collection[str] | None = None,
) -> str:
    """Return how a result differs from the right one, as the end of a sentence; empty if no relation holds.

    Args:
        got: The answer's result, in double precision and of the right shape.
        wanted: The right result.
        formula: The function that computes the right result from the arguments by name.
        exact: The arguments by name.
        among: The only relations that may be returned; None for any.
    """
    for readings in _relations(got, wanted, formula, exact or {}):
        possible = [relation for relation in readings if among is None or relation in among]
        if len(possible) == 1:  # Several that fit would be a guess.
            return possible[0]
    return ""


def every_relation(got: Tensor, wanted: Tensor, exact: Mapping[str, Any]) -> set[str]:
    """Return all relations that hold between a result and the right one, also where several read the same numbers."""
    return {relation for readings in _relations(got, wanted, None, exact) for relation in readings}


def _relations(
    got: Tensor, wanted: Tensor, formula: Formula | None, exact: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    """Yield the relations that hold, the most telling first; those that read one fact in several ways come together."""
    if not bool(torch.isfinite(got).all()):
        yield ("is not finite (nan or inf)",)
        return
    for relation in _simple_relations(got, wanted):
        yield (relation,)
    # Beside entries that are far larger, wrong entries are within the tolerance, and every place seems to be right.
    if not _equal(got, wanted):
        for relation in _moved_relations(got, wanted):
            yield (relation,)
        yield from _argument_relations(got, wanted, formula, exact)
    yield from _amount_relations(got, wanted)


def _equal(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    scale = float(second.abs().max()) if second.numel() else 0.0
    return scale > 0 and bool(((first - second).abs() <= _TOLERANCE * scale).all())


def _simple_relations(got: Tensor, wanted: Tensor) -> Iterator[str]:
    """Yield relations that need nothing but the two results."""
    if not bool(got.any()) and bool(wanted.any()):
        yield "is zero, and should not be"
    if _equal(got, -wanted):
        yield "has the wrong sign"
    if _equal(got, 1 - wanted):
        yield "is 1 minus what it should be"
    if any(_is_rounded(got, wanted, dtype) for dtype in (torch.bfloat16, torch.half)):
        yield "is right, but rounded to half precision"
    if _is_rounded(got, wanted, torch.float32, steps=8):
        yield "is right, but only up to single precision"
    if any(_has_decimals(got, wanted, decimals) for decimals in _DECIMALS):
        yield "is right, but rounded to a few decimals"


def _is_rounded(got: Tensor, wanted: Tensor, dtype: torch.dtype, steps: int = 1) -> bool:
    """Return whether a result holds only numbers of a dtype, and right ones up to some steps between such numbers."""
    step = steps * (torch.finfo(dtype).eps * wanted.abs() + torch.finfo(dtype).tiny)
    return torch.equal(got.to(dtype).to(got.dtype), got) and bool(((got - wanted).abs() <= step).all())


def _has_decimals(got: Tensor, wanted: Tensor, decimals: int) -> bool:
    """Return whether a result holds the right numbers rounded to so many decimals, and not to fewer."""
    rounded = torch.equal(got.float(), got.round(decimals=decimals).float())
    fewer = torch.equal(got.float(), got.round(decimals=decimals - 1).float())
    return rounded and not fewer and bool(((got - wanted).abs() <= 0.51 * 10.0**-decimals).all())


def _is_moved(first: Tensor, second: Tensor) -> bool:
    """Return whether tensors are equal, and hold so many different numbers that this is no coincidence."""
    return second.unique().numel() >= _MIN_ENTRIES and _equal(first, second)


def _moved_relations(got: Tensor, wanted: Tensor) -> Iterator[str]:
    """Yield relations in which the right numbers lie at other places."""
    for axis in range(wanted.dim()):
        size = wanted.shape[axis]
        if size < _MIN_ENTRIES or wanted.numel() < _MIN_ENTRIES:
            continue
        first, last = wanted.narrow(axis, 0, size - 1), wanted.narrow(axis, 1, size - 1)
        if _is_moved(got.narrow(axis, 0, size - 1), last):
            yield f"is shifted by one place to the front along dimension {axis}"
        if _is_moved(got.narrow(axis, 1, size - 1), first):
            yield f"is shifted by one place to the back along dimension {axis}"
        if _is_moved(got, wanted.flip(axis)):
            yield f"is in reverse order along dimension {axis}"
        if _is_moved(got.narrow(axis, 1, size - 1), last):
            yield f"is wrong only in the first entry along dimension {axis}"
        if _is_moved(got.narrow(axis, 0, size - 1), first):
            yield f"is wrong only in the last entry along dimension {axis}"
    if wanted.dim() == 2 and wanted.shape[0] == wanted.shape[1] and _equal(got, wanted.T):
        yield "has its two dimensions swapped"


def _argument_relations(
    got: Tensor, wanted: Tensor, formula: Formula | None, exact: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    """Yield relations that compare with the formula at other arguments, and factors that are arguments or sizes."""
    numbers = {name: value for name, value in exact.items() if isinstance(value, float) and value}
    if formula is not None:
        for name, value in numbers.items():
            if value != 1 and _equal(got, formula(**{**exact, name: 1.0})):
                yield (f"is right but for `{name}`, which is not used",)
            if value != 1 and _equal(got, value * formula(**{**exact, name: 1.0})) and not _equal(got, value * wanted):
                yield (
                    f"is `{name}` times the right result for a `{name}` of 1, so `{name}` belongs inside the formula",
                )
        for relation in _swapped_relations(got, formula, exact):
            yield (relation,)
    factors = {f"`{name}`": value for name, value in numbers.items()}
    yield from _factor_relations(got, wanted, factors | _sizes(exact))


def _amount_relations(got: Tensor, wanted: Tensor) -> Iterator[tuple[str, ...]]:
    """Yield the relation that a result is the right one plus some number."""
    amounts = got - wanted
    is_one_amount = bool(((amounts - amounts.mean()).abs() <= 0.01 * amounts.mean().abs()).all())
    if wanted.numel() >= _MIN_ENTRIES and is_one_amount and _equal(got - got.mean(), wanted - wanted.mean()):
        direction = "large" if float(got.mean()) > float(wanted.mean()) else "small"
        yield (f"is too {direction} throughout, by one amount",)


def _sizes(exact: Mapping[str, Any]) -> dict[str, float]:
    """Return the sizes of the tensor arguments in words, without those that two different axes have in common."""
    shapes: dict[torch.Size, str] = {}
    for name, value in exact.items():
        if isinstance(value, Tensor):
            shapes.setdefault(value.shape, name)
    sizes = {
        f"the size of `{name}` along dimension {axis}": float(size)
        for shape, name in shapes.items()
        for axis, size in enumerate(shape)
    }
    return {words: size for words, size in sizes.items() if list(sizes.values()).count(size) == 1}


def _swapped_relations(got: Tensor, formula: Formula, exact: Mapping[str, Any]) -> Iterator[str]:
    tensors = {name: value for name, value in exact.items() if isinstance(value, Tensor) and value.is_floating_point()}
    for name, value in tensors.items():
        for other, other_value in tensors.items():
            swaps = name < other and value.shape == other_value.shape
            if swaps and _equal(got, formula(**{**exact, name: other_value, other: value})):
                yield f"is right with `{name}` and `{other}` swapped"


def _factor_relations(got: Tensor, wanted: Tensor, factors: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the relations that a result is a multiple of the right one: with each name of the factor, then without."""
    square = float((wanted * wanted).sum())
    if not square:
        return
    factor = float((got * wanted).sum()) / square
    if not factor or not _equal(got, factor * wanted):
        return
    sentences = {f"is {name} times what it should be": value for name, value in factors.items()}
    sentences |= {f"is what it should be divided by {name}": 1 / value for name, value in factors.items() if value}
    sentences |= {f"is the square of {name} times what it should be": value**2 for name, value in factors.items()}
    sentences |= {"is twice what it should be": 2.0, "is half of what it should be": 0.5}
    sentences["is in bits, and should be in nats: use the natural logarithm"] = 1 / math.log(2)
    matching = [text for text, value in sentences.items() if value not in (0, 1) and abs(factor / value - 1) < 1e-3]
    yield tuple(matching)
    if wanted.numel() >= _MIN_ENTRIES:
        yield (f"is too {'large' if abs(factor) > 1 else 'small'} throughout, by one factor",)
