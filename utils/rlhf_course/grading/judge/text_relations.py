"""Find which texts of a batch a result is wrong for, where it holds one number a text and the call has a mask."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

# So many texts, and so many of them wrong and right, that no property separates them by coincidence.
_MIN_TEXTS, _MIN_OF_EACH = 8, 2
_SHARE_WRONG = 0.75
_RTOL, _ATOL = 1e-3, 1e-3


def text_relation(got: Tensor, wanted: Tensor, exact: Mapping[str, Any]) -> str:
    """Return which texts alone a result is wrong for, as the end of a sentence; empty if no property separates them.

    Args:
        got: The answer's result, in double precision and of the right shape.
        wanted: The right result.
        exact: The arguments by name, among them a mask [texts, positions], and perhaps token ids of that shape.
    """
    masks = [value for value in exact.values() if isinstance(value, Tensor) and value.dtype == torch.bool]
    if len(masks) != 1 or masks[0].dim() != 2 or wanted.shape != masks[0].shape[:1] or len(wanted) < _MIN_TEXTS:
        return ""
    is_wrong = ~torch.isclose(got, wanted, rtol=_RTOL, atol=_ATOL)
    if not _MIN_OF_EACH <= int(is_wrong.sum()) <= len(wanted) - _MIN_OF_EACH:
        return ""
    separating = [words for words, has in _properties(masks[0], exact) if _separates(has, is_wrong)]
    return f"is wrong only for texts {separating[0]}" if len(separating) == 1 else ""


def _separates(has: Tensor, is_wrong: Tensor) -> bool:
    """Return whether all wrong texts have a property, and nearly all texts that have it are wrong."""
    return bool((has | ~is_wrong).all()) and int(is_wrong.sum()) >= _SHARE_WRONG * int(has.sum())


def _properties(mask: Tensor, exact: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield properties of texts in words, each with the texts that have it."""
    yield "whose mask is True at the first position", mask[:, 0]
    yield "whose mask is False at the first position", ~mask[:, 0]
    yield "whose mask is True at the last position", mask[:, -1]
    yield "whose mask is False at the last position", ~mask[:, -1]
    yield "whose mask is True at one position", mask.sum(1) == 1
    yield "whose mask is True at several positions", mask.sum(1) > 1
    for ids in exact.values():
        if isinstance(ids, Tensor) and ids.dtype == torch.int64 and ids.shape == mask.shape:
            # Position 0 is left out, since nothing predicts its token.
            yield "that have the token id 0 where the mask is True", ((ids == 0) & mask)[:, 1:].any(1)
            yield "that have the largest token id where the mask is True", ((ids == ids.max()) & mask)[:, 1:].any(1)
