"""Leaves a daemon behind that outlives the answer, with the judge's connection open."""
# message: PermissionError, at line 10
# limits: timeout=2

import os
import time


def compute_advantages(values, rewards, prefix_len):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(10_000)
        os._exit(0)
    return values
