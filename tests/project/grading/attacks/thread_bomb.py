"""Starts threads until the system refuses more, and leaves them running."""
# slow: starts many threads

import threading
import time


def compute_advantages(values, rewards, prefix_len):
    threads = []
    try:
        while len(threads) < 5000:
            threads.append(threading.Thread(target=time.sleep, args=(10_000,), daemon=True))
            threads[-1].start()
    except (RuntimeError, MemoryError):
        return len(threads)
    return values
