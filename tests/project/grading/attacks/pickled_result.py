"""Returns objects that would run a program if they were unpickled."""

import os


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/pickled",)

    def __reduce_ex__(self, protocol):
        return self.__reduce__()


def compute_advantages(values, rewards, prefix_len):
    return Bomb(), [Bomb()], {"bomb": Bomb()}
