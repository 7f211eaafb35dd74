"""Returns an integer of 4,000 digits, which no float can hold, and hides more of them in lists."""
# message: not a valid result


def compute_advantages(values, rewards, prefix_len):
    return [[10**4000] * values[:, prefix_len:].shape[1] for _ in values]
