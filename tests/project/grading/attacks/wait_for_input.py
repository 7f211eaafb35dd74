"""Waits for input from the keyboard."""

import sys


def compute_advantages(values, rewards, prefix_len):
    return values[int(input() or sys.stdin.readline() or 0)]
