"""Record the calls that each hidden test makes of a function."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rlhf_course.checks.layouts import copy_with_strides

# A call with more entries than this is not recorded: it costs much time and tells no more than a smaller one.
_MAX_ENTRIES = 300_000


# The arguments of the calls, by the name of the test; None for a call that is not recorded.
RecordedCalls = dict[str, list[Sequence[Any] | None]]


@dataclass
class CallRecorder:
    """Records the arguments of the calls that each hidden test makes of a function.

    Attributes:
        calls: The calls.
    """

    calls: RecordedCalls = field(default_factory=dict)
    _test: str = ""

    def start(self, test: str) -> None:
        """Let the calls that follow belong to a test."""
        self._test = test

    def wrap(self, function: Any) -> "RecordedFunction":
        """Return a function that does the same, and whose calls are recorded."""
        return RecordedFunction(function, self)

    def add(self, arguments: Sequence[Any] | None) -> None:
        """Record a call, unless it has keywords (None) or its arguments are very large."""
        is_recorded = arguments is not None and call_size(arguments) <= _MAX_ENTRIES
        recorded = [copied(value) for value in arguments] if is_recorded and arguments is not None else None
        self.calls.setdefault(self._test, []).append(recorded)


class RecordedFunction:
    """A function whose calls by position are recorded."""

    def __init__(self, function: Any, recorder: CallRecorder) -> None:
        self._function, self._recorder = function, recorder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._recorder.add(None if kwargs else args)
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
        return copy_with_strides(value)
    return list(value) if isinstance(value, list) else value
