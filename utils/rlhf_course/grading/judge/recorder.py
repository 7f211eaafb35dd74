"""Record the calls that each hidden test makes of a function."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# A call with more entries than this is not recorded: it costs much time and tells no more than a smaller one.
_MAX_ENTRIES = 300_000


@dataclass
class CallRecorder:
    """Records the arguments of the calls that each hidden test makes of a function.

    Attributes:
        calls: The arguments of the calls, by the name of the test.
    """

    calls: dict[str, list[Sequence[Any]]] = field(default_factory=dict)
    _test: str = ""

    def start(self, test: str) -> None:
        """Let the calls that follow belong to a test."""
        self._test = test

    def wrap(self, function: Any) -> "RecordedFunction":
        """Return a function that does the same, and whose calls are recorded."""
        return RecordedFunction(function, self)

    def add(self, arguments: Sequence[Any]) -> None:
        """Record a call, unless its arguments are very large."""
        if call_size(arguments) <= _MAX_ENTRIES:
            self.calls.setdefault(self._test, []).append([copied(value) for value in arguments])


class RecordedFunction:
    """A function whose calls by position are recorded."""

    def __init__(self, function: Any, recorder: CallRecorder) -> None:
        self._function, self._recorder = function, recorder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            self._recorder.add(args)
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def call_size(arguments: Sequence[Any]) -> int:
    """Return the number of entries of a call's tensors, and of characters of its lists of texts."""
    sizes = [value.numel() if isinstance(value, Tensor) else len(str(value)) for value in arguments]
    return sum(sizes)


def copied(value: Any) -> Any:
    """Return a copy of an argument, of a tensor without its graph and with its strides."""
    if isinstance(value, Tensor):
        if all(stride > 0 for stride in value.stride()):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).copy_(value.detach())
        return value.detach().clone()
    return list(value) if isinstance(value, list) else value
