"""Waits for ever inside the C library, holding the interpreter's lock."""
# slow: waits for its deadline twice
# message: no result within 1 second
# limits: timeout=1

import ctypes


def compute_advantages(values, rewards, prefix_len):
    ctypes.PyDLL(None).pause()
