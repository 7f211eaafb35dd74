"""Two peaks and one Gaussian: both KL divergences, what they add up, and the Gaussian that minimises each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Wide and fine enough for every setting of the sliders: the integrals are right to three decimals.
GRID: Array = np.linspace(-30.0, 30.0, 4001)


class Gaussian(NamedTuple):
    """A normal distribution by its mean and standard deviation."""

    mean: float
    std: float

    def log_density(self, x: Array) -> Array:
        """Logarithm of the density at each x."""
        return -0.5 * ((x - self.mean) / self.std) ** 2 - np.log(self.std) - 0.5 * np.log(2 * np.pi)


class TwoPeaks(NamedTuple):
    """A mixture of two Gaussians of one width, at -distance and +distance.

    Attributes:
        distance: of each peak from zero.
        left: the weight of the left peak, between 0 and 1.
        std: of each peak.
    """

    distance: float = 3.0
    left: float = 0.5
    std: float = 0.6

    def log_density(self, x: Array) -> Array:
        """Logarithm of the density at each x."""
        peaks = Gaussian(-self.distance, self.std), Gaussian(self.distance, self.std)
        left, right = (peak.log_density(x) for peak in peaks)
        return np.logaddexp(np.log(self.left) + left, np.log1p(-self.left) + right)


class Divergences(NamedTuple):
    """D_KL(target || fit), which is covering, and D_KL(fit || target), which is seeking and RLHF's."""

    covering: float
    seeking: float


def integrands(target: TwoPeaks, fit: Gaussian, x: Array = GRID) -> tuple[Array, Array]:
    """What each x contributes to D_KL(target || fit) and to D_KL(fit || target)."""
    log_target, log_fit = target.log_density(x), fit.log_density(x)
    apart = log_target - log_fit
    return np.exp(log_target) * apart, -np.exp(log_fit) * apart


def divergences(target: TwoPeaks, fit: Gaussian) -> Divergences:
    """Both divergences, in nats."""
    covering, seeking = integrands(target, fit)
    return Divergences(float(np.trapezoid(covering, GRID)), float(np.trapezoid(seeking, GRID)))


def best_cover(target: TwoPeaks) -> Gaussian:
    """The Gaussian that minimises D_KL(target || fit): the one with the target's mean and variance."""
    mean = (1 - 2 * target.left) * target.distance
    variance = target.std**2 + target.distance**2 - mean**2
    return Gaussian(mean, float(np.sqrt(variance)))


def best_seek(target: TwoPeaks, start: Gaussian, steps: int = 300) -> Gaussian:
    """Walk downhill in D_KL(fit || target) from a start: which valley is found depends on it.

    Args:
        target: the two peaks.
        start: where the walk begins.
        steps: the most that it takes.
    """
    point = np.array([start.mean, np.log(start.std)])
    height, stride = _seeking(target, point), 0.5
    for _ in range(steps):
        slope = np.array([_slope(target, point, axis) for axis in range(2)])
        while stride > 1e-7:
            lower = point - stride * np.clip(slope, -1, 1)
            if (found := _seeking(target, lower)) < height:
                break
            stride /= 2
        else:
            break
        point, height, stride = lower, found, min(2 * stride, 0.5)
    return Gaussian(float(point[0]), float(np.exp(point[1])))


def _seeking(target: TwoPeaks, point: Array) -> float:
    return divergences(target, Gaussian(point[0], np.exp(point[1]))).seeking


def _slope(target: TwoPeaks, point: Array, axis: int) -> float:
    step = np.zeros(2)
    step[axis] = 1e-4
    return (_seeking(target, point + step) - _seeking(target, point - step)) / 2e-4
