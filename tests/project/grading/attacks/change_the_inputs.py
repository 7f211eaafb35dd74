"""Resizes, retypes and swaps its arguments, and returns them as the result."""


def compute_advantages(values, rewards, prefix_len):
    values.resize_(2**20)
    values.data = values.double().to_sparse()
    rewards.set_(rewards.new_zeros(2, 2).untyped_storage())
    return values
