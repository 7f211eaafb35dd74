"""Starts threads until no more can be had, and leaves them running."""
# slow: starts many threads

import threading
import time


def compute_advantages(values, rewards, prefix_len):
    started = 0
    try:
        for started in range(5000):
            threading.Thread(target=time.sleep, args=(10_000,), daemon=True).start()
    except (RuntimeError, MemoryError):
        return started
    return values
