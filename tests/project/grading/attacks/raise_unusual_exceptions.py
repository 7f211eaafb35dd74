"""Raises exceptions whose class, text and arguments are hostile to the code that reads them."""


class Meta(type):
    __name__ = property(lambda self: 1 / 0)
    __mro__ = property(lambda self: 1 / 0)

    def __instancecheck__(self, instance):
        raise SystemExit


class Hostile(BaseException, metaclass=Meta):
    def __str__(self):
        raise self

    __repr__ = __str__
    args = property(lambda self: 1 / 0)
    __traceback__ = property(lambda self: 1 / 0)


def compute_advantages(values, rewards, prefix_len):
    raise Hostile
