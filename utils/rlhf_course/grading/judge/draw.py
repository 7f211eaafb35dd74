"""Draw the inputs of hidden tests from a course's secret: nobody knows them, and a whole class meets the same ones."""

import hmac
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from rlhf_course.grading.secret import Secret

T = TypeVar("T")

# The number of results of `Draw.once` that are kept for the next answers of a class.
_MAX_KEPT = 64

DrawState: TypeAlias = tuple[Any, ...]
"""Where the generators of a draw are; it can be compared and hashed."""


@cache
def _made_of_draws() -> OrderedDict[Hashable, tuple[Any, DrawState]]:
    """Return what `Draw.once` keeps in this process: results, and where the generators were after each."""
    return OrderedDict()


class Draw:
    """A source of random values for one test.

    The seed is an HMAC-SHA256 of the secret, the part, the exercise, the test and a number. So every answer meets the
    same values on every machine, since NumPy's generators give the same numbers everywhere.

    Args:
        secret: The course's secret.
        test: The part, the exercise and the test, joined by slashes.
        number: Distinguishes several draws of one test.

    Attributes:
        key: Identifies the draw, for caches of what is computed from it.
    """

    def __init__(self, secret: Secret, test: str, number: int = 0) -> None:
        self._secret, self._test = secret, test
        digest = hmac.new(secret.key, f"{test}/{number}".encode(), "sha256").digest()
        self.key = digest.hex()
        self._random = random.Random(digest)
        self._numpy = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))

    @property
    def state(self) -> DrawState:
        """Where the generators are, which decides what is drawn next."""
        numpy = self._numpy.bit_generator.state
        return self._random.getstate(), *numpy["state"].values(), numpy["has_uint32"], numpy["uinteger"]

    @state.setter
    def state(self, state: DrawState) -> None:
        python, number, increment, has_uint32, uinteger = state
        self._random.setstate(python)
        self._numpy.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": number, "inc": increment},
            "has_uint32": has_uint32,
            "uinteger": uinteger,
        }

    def numbered(self, number: int) -> "Draw":
        """Return the draw of the same test with another number."""
        return Draw(self._secret, self._test, number)

    def shared(self, name: str) -> "Draw":
        """Return the draw that all tests of the exercise have in common under a name."""
        return Draw(self._secret, f"{self._test.rpartition('/')[0]}/{name}")

    def once(self, make: Callable[["Draw"], T]) -> T:
        """Return what a function makes of this draw; the answers of a class share it, so do not change it.

        Args:
            make: A function that takes the draw and depends on nothing else.
        """
        key, kept = (make, self.key, self.state), _made_of_draws()
        if key not in kept:
            kept[key] = make(self), self.state
        kept.move_to_end(key)
        if len(kept) > _MAX_KEPT:
            kept.popitem(last=False)
        result: T
        result, self.state = kept[key]
        return result

    def integer(self, low: int, high: int) -> int:
        """Draw an integer from `low` to `high`, both included."""
        return self._random.randint(low, high)

    def number(self, low: float, high: float) -> float:
        """Draw a number with three significant digits, evenly on a logarithmic scale if both ends are positive."""
        if low > 0:
            return float(f"{low * (high / low) ** self._random.random():.3g}")
        return float(f"{self._random.uniform(low, high):.3g}")

    def choice(self, options: Sequence[T]) -> T:
        """Draw one of several options."""
        return self._random.choice(options)

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """Draw several different options, in random order."""
        return self._random.sample(list(options), count)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in random order."""
        return self.sample(items, len(items))

    def distinct_integers(self, low: int, high: int, count: int) -> list[int]:
        """Draw different integers from `low` to `high`, both included, in random order."""
        return self.sample(range(low, high + 1), count)

    def normal(self, *shape: int) -> Tensor:
        """Draw a float32 tensor of standard normal numbers, each a multiple of 1/1024.

        Such numbers are exact in float32, and sums of a few of them are, too.
        """
        numbers = np.round(self._numpy.standard_normal(shape) * 1024) / 1024
        return torch.from_numpy(np.asarray(numbers, dtype=np.float32))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Draw an int64 tensor of integers from `low` to `high`, both included."""
        return torch.from_numpy(np.asarray(self._numpy.integers(low, high + 1, shape), dtype=np.int64))
