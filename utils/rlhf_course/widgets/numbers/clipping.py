"""Compute PPO's clipped term for one token, its gradient, and the ratios at which that gradient is zero."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Term(NamedTuple):
    """The clipped term of one token.

    Attributes:
        unclipped: Ratio times advantage.
        value: The clipped term, which enters the objective.
        gradient: The gradient of the value with respect to the ratio.
    """

    unclipped: NDArray[np.float64]
    value: NDArray[np.float64]
    gradient: NDArray[np.float64]


def clipped_term(ratio: ArrayLike, advantage: float, clip_coef: float) -> Term:
    """Return the clipped term at each ratio."""
    ratio = np.asarray(ratio, dtype=float)
    unclipped = ratio * advantage
    value = np.minimum(unclipped, np.clip(ratio, 1 - clip_coef, 1 + clip_coef) * advantage)
    return Term(unclipped, value, np.where(is_flat(ratio, advantage, clip_coef), 0.0, advantage))


def is_flat(ratio: ArrayLike, advantage: float, clip_coef: float) -> NDArray[np.bool_]:
    """Return at which ratios the gradient is zero: past the clip range on the side of the advantage."""
    ratio = np.asarray(ratio, dtype=float)
    if advantage == 0:
        return np.ones_like(ratio, dtype=bool)
    return ratio > 1 + clip_coef if advantage > 0 else ratio < 1 - clip_coef


def flat_part(advantage: float, clip_coef: float) -> str:
    """Return the ratios at which the gradient is zero, in words."""
    if advantage == 0:
        return "everywhere"
    return f"above {1 + clip_coef:.2f}" if advantage > 0 else f"below {1 - clip_coef:.2f}"
