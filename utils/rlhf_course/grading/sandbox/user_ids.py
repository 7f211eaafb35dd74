"""Allocate unused user ids, so that each sandbox can run as a user of its own."""

import os
import secrets
from pathlib import Path


class UnusedUserIds:
    """User ids from the upper half of the mapped range, handed out in turn from a random start."""

    _COUNT = 512

    def __init__(self) -> None:
        self._half = min(2**31, _mapped_uid_count()) // 2
        self._first = self._half + secrets.randbelow(max(1, self._half - self._COUNT))
        self._allocated = 0

    @property
    def available(self) -> bool:
        """Whether this process is root and can therefore switch to one of the ids."""
        return hasattr(os, "geteuid") and os.geteuid() == 0 and self._half >= 2**15

    def allocate(self) -> int:
        """Return the next id; after 512 ids the first one is used again."""
        self._allocated += 1
        return self._first + self._allocated % self._COUNT


def _mapped_uid_count() -> int:
    """Return how many user ids the user namespace of this process maps; 0 if the system has no /proc/self/uid_map."""
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[2]) for line in lines if line.split()[0] == "0"), default=0)
