"""Sleeps in each call for a little less than the timeout, to use up the judge's time."""
# slow: waits for its deadline
# message: all calls together took over 2 seconds|no result within
# limits: timeout=2, exercise_timeout=2

import time


def compute_advantages(values, rewards, prefix_len):
    time.sleep(1.5)
