"""Returns a list of ten million numbers, and a text of a gigabyte."""
# slow: makes its result twice


def compute_advantages(values, rewards, prefix_len):
    return [list(range(10_000_000)), "passed" * 50_000_000]
