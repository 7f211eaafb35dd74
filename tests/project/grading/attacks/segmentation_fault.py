"""Crashes the interpreter."""
# message: segmentation fault

import ctypes


def compute_advantages(values, rewards, prefix_len):
    return ctypes.string_at(0)
