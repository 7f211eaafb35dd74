"""Recurses until the stack of the C library overflows."""
# slow: fills the stack

import sys


def compute_advantages(values, rewards, prefix_len):
    sys.setrecursionlimit(2**30)

    class Deep:
        def __repr__(self):
            return repr([self])

        def __getattr__(self, name):
            return getattr(self, name + "x")

    return repr(Deep()), Deep().gone
