"""Compute bands: the mean, the lowest and the highest of the curves of several seeds."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

# A band goes on as long as this share of its seeds has a point.
_LEAST_SHARE = 0.6


class Point(NamedTuple):
    """A point of one seed's curve.

    Attributes:
        key: What the points of all seeds that are compared have in common, such as a step or the number of a bin.
        x: The x value.
        y: The y value.
    """

    key: float
    x: float
    y: float


class Band(NamedTuple):
    """The curves of several seeds: their mean, and the lowest and the highest of them."""

    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def band(seeds: Sequence[Iterable[Point]]) -> Band:
    """Return the band of some curves, where enough seeds have a point; a seed's points with one key are averaged."""
    by_key: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for points in seeds:
        for key, same in _by_key(points).items():
            by_key[key].append((fmean(point.x for point in same), fmean(point.y for point in same)))
    least = max(min(2, len(seeds)), math.ceil(_LEAST_SHARE * len(seeds)))
    kept = [by_key[key] for key in sorted(by_key) if len(by_key[key]) >= least]
    return Band(
        [fmean(x for x, _ in points) for points in kept],
        [fmean(y for _, y in points) for points in kept],
        [min(y for _, y in points) for points in kept],
        [max(y for _, y in points) for points in kept],
    )


def _by_key(points: Iterable[Point]) -> dict[float, list[Point]]:
    found: dict[float, list[Point]] = defaultdict(list)
    for point in points:
        found[point.key].append(point)
    return found
