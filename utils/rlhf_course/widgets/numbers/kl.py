"""Compute both KL divergences of a Gaussian and two peaks, their integrands, and the Gaussian that minimises each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The grid is wide and fine enough that the integrals are right to three decimals for every setting of the sliders.
GRID: Array = np.linspace(-30.0, 30.0, 4001)


class Gaussian(NamedTuple):
    """A normal distribution, given by mean and standard deviation."""

    mean: float
    std: float

    def log_density(self, x: Array) -> Array:
        """Return the logarithm of the density at each x."""
        return -0.5 * ((x - self.mean) / self.std) ** 2 - np.log(self.std) - 0.5 * np.log(2 * np.pi)


class TwoPeaks(NamedTuple):
    """A mixture of two Gaussians of equal width, at -distance and +distance.

    Attributes:
        distance: The distance of each peak from zero.
        left: The weight of the left peak, between 0 and 1.
        std: The standard deviation of each peak.
    """

    distance: float = 3.0
    left: float = 0.5
    std: float = 0.6

    def log_density(self, x: Array) -> Array:
        """Return the logarithm of the density at each x."""
        peaks = Gaussian(-self.distance, self.std), Gaussian(self.distance, self.std)
        left, right = (peak.log_density(x) for peak in peaks)
        return np.logaddexp(np.log(self.left) + left, np.log1p(-self.left) + right)


class Divergences(NamedTuple):
    """Both KL divergences, in nats.

    Attributes:
        covering: D_KL(target || fit), whose minimum covers both peaks.
        seeking: D_KL(fit || target), whose minimum seeks one peak; RLHF uses this one.
    """

    covering: float
    seeking: float


def integrands(target: TwoPeaks, fit: Gaussian, x: Array = GRID) -> tuple[Array, Array]:
    """Return the integrands of D_KL(target || fit) and of D_KL(fit || target) at each x."""
    log_target, log_fit = target.log_density(x), fit.log_density(x)
    log_ratio = log_target - log_fit
    return np.exp(log_target) * log_ratio, -np.exp(log_fit) * log_ratio


def divergences(target: TwoPeaks, fit: Gaussian) -> Divergences:
    """Return both divergences, in nats."""
    covering, seeking = integrands(target, fit)
    return Divergences(float(np.trapezoid(covering, GRID)), float(np.trapezoid(seeking, GRID)))


def fit_covering(target: TwoPeaks) -> Gaussian:
    """Return the Gaussian that minimises D_KL(target || fit): the one with the target's mean and variance."""
    mean = (1 - 2 * target.left) * target.distance
    variance = target.std**2 + target.distance**2 - mean**2
    return Gaussian(mean, float(np.sqrt(variance)))


def fit_seeking(target: TwoPeaks, start: Gaussian, steps: int = 300) -> Gaussian:
    """Return a local minimum of D_KL(fit || target), found by gradient descent with backtracking.

    Args:
        target: The two peaks.
        start: The Gaussian at which the descent starts; which minimum is found depends on it.
        steps: The maximum number of steps.
    """
    params = np.array([start.mean, np.log(start.std)])
    kl, step_size = _seeking(target, params), 0.5
    for _ in range(steps):
        gradient = np.array([_derivative(target, params, axis) for axis in range(2)])
        while step_size > 1e-7:
            new_params = params - step_size * np.clip(gradient, -1, 1)
            if (new_kl := _seeking(target, new_params)) < kl:
                break
            step_size /= 2
        else:
            break
        params, kl, step_size = new_params, new_kl, min(2 * step_size, 0.5)
    return Gaussian(float(params[0]), float(np.exp(params[1])))


def _seeking(target: TwoPeaks, params: Array) -> float:
    return divergences(target, Gaussian(params[0], np.exp(params[1]))).seeking


def _derivative(target: TwoPeaks, params: Array, axis: int) -> float:
    step = np.zeros(2)
    step[axis] = 1e-4
    return (_seeking(target, params + step) - _seeking(target, params - step)) / 2e-4
