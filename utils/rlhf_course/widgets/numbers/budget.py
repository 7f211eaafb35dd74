"""What showing may cost, as a share of what training takes."""

import time
from collections.abc import Callable

SHARE = 0.025


class Budget:
    """Keeps the time that is spent on showing below a share of the time that passes.

    Args:
        share: of all time since the start.
        clock: seconds.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share = share
        self.spent = 0.0
        self._clock = clock
        self._cost: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Start to count from now."""
        self._began = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def allows(self, what: str) -> bool:
        """Whether it can be done now, given what it cost the last time; what was never done is tried once it may be dear."""
        return self.spent + self._cost.get(what, 0.0) <= self.share * self.elapsed

    def learn(self, what: str, seconds: float) -> None:
        """Say what it costs, before it is done for the first time."""
        self._cost[what] = seconds

    def spend(self, what: str, do: Callable[[], None]) -> None:
        """Do it, and remember what it cost."""
        began = self._clock()
        try:
            do()
        finally:
            self._cost[what] = self._clock() - began
            self.spent += self._cost[what]
