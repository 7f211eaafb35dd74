"""Prints hundreds of megabytes to both outputs, by every way there is."""
# slow: prints for seconds

import os
import sys
import warnings


def compute_advantages(values, rewards, prefix_len):
    line = "passed " * 150_000
    for _ in range(100):
        print(line)
        print(line, file=sys.stderr)
        os.write(1, line.encode())
        os.write(2, line.encode())
        sys.__stdout__.write(line)
        warnings.warn(line[:100], stacklevel=1)
    return values
