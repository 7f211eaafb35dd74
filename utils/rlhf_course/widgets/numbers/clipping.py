"""PPO's clipped term for one token: its value, its gradient, and where that gradient is zero."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Term(NamedTuple):
    """The clipped term of one token.

    Attributes:
        unclipped: ratio times advantage.
        value: what enters the objective.
        gradient: of the value with respect to the ratio.
    """

    unclipped: NDArray[np.float64]
    value: NDArray[np.float64]
    gradient: NDArray[np.float64]


def clipped_term(ratio: ArrayLike, advantage: float, clip_coef: float) -> Term:
    """The clipped term at each ratio."""
    ratio = np.asarray(ratio, dtype=float)
    unclipped = ratio * advantage
    value = np.minimum(unclipped, np.clip(ratio, 1 - clip_coef, 1 + clip_coef) * advantage)
    return Term(unclipped, value, np.where(is_flat(ratio, advantage, clip_coef), 0.0, advantage))


def is_flat(ratio: ArrayLike, advantage: float, clip_coef: float) -> NDArray[np.bool_]:
    """Where the gradient is zero: the policy has gone far enough in the wanted direction, or no direction is wanted."""
    ratio = np.asarray(ratio, dtype=float)
    if advantage == 0:
        return np.ones_like(ratio, dtype=bool)
    return ratio > 1 + clip_coef if advantage > 0 else ratio < 1 - clip_coef


def flat_part(advantage: float, clip_coef: float) -> str:
    """In words, the ratios at which the gradient is zero."""
    if advantage == 0:
        return "everywhere"
    return f"above {1 + clip_coef:.2f}" if advantage > 0 else f"below {1 - clip_coef:.2f}"
