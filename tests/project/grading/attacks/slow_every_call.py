"""Sleeps just short of the time for one call in each call, to use up the judge's day."""
# slow: waits for its deadline
# message: all calls together took over 2 seconds|no result within
# limits: timeout=2, exercise_timeout=2

import time


def compute_advantages(values, rewards, prefix_len):
    time.sleep(1.5)
