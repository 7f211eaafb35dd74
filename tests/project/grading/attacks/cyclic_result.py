"""Returns a list that holds itself many times over."""
# slow: packs a large result in every test


def compute_advantages(values, rewards, prefix_len):
    result = []
    result.extend([result] * 50)
    return result
