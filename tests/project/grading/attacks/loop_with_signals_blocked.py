"""Loops without end with every signal ignored or blocked."""
# slow: waits for its deadline twice
# message: no result within 1 second
# limits: timeout=1

import signal


def compute_advantages(values, rewards, prefix_len):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        try:
            while True:
                values + rewards.sum()
        except BaseException:
            continue
