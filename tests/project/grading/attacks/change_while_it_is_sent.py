"""Lets a thread resize and overwrite the result while it is being sent."""
# slow: keeps a thread busy

import threading

import torch

SHARED = torch.zeros(1)


def _change():
    while True:
        for size in (1, 12, 2**20, 0):
            try:
                SHARED.resize_(size)
                SHARED.fill_(size)
            except RuntimeError:
                continue


threading.Thread(target=_change, daemon=True).start()


def compute_advantages(values, rewards, prefix_len):
    return SHARED
