"""Limit the time that the display takes to a share of the training time."""

import time
from collections.abc import Callable

SHARE = 0.025


class Budget:
    """Keeps the time that display tasks take below a share of the elapsed time.

    Args:
        share: The share of the time since the start.
        clock: A function that returns seconds.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share = share
        self.spent = 0.0
        self._clock = clock
        self._cost: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Restart the elapsed time at zero."""
        self._start = self._clock()

    @property
    def elapsed(self) -> float:
        """The seconds since the start."""
        return self._clock() - self._start

    def allows(self, task: str) -> bool:
        """Return whether there is time for a task now, given how long it took last time.

        A task that has not run yet counts as taking no time.
        """
        return self.spent + self._cost.get(task, 0.0) <= self.share * self.elapsed

    def set_cost(self, task: str, seconds: float) -> None:
        """Set the expected time of a task that has not run yet."""
        self._cost[task] = seconds

    def run(self, task: str, function: Callable[[], object]) -> None:
        """Call the function of a task, and record its time."""
        start = self._clock()
        try:
            function()
        finally:
            self._cost[task] = self._clock() - start
            self.spent += self._cost[task]
