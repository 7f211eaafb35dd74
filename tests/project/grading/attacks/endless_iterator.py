"""Returns containers that never end, and lie about their length."""
# slow: waits for its deadline twice
# limits: timeout=1


class Endless(list):
    def __iter__(self):
        while True:
            yield 1

    def __len__(self):
        return 3


class Mapping(dict):
    def items(self):
        while True:
            yield "a", 1


def compute_advantages(values, rewards, prefix_len):
    return Endless(), Mapping()
