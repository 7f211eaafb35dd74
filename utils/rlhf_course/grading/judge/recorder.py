"""Record the calls that each hidden test makes of an answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rlhf_course.checks.layouts import copy_with_strides
from rlhf_course.grading.judge.output_sketch import OutputSketch
from rlhf_course.grading.sandbox.answers import AnswerError

# The arguments of a call with more entries are not kept: it costs much time and tells no more than a smaller one.
_MAX_ENTRIES = 300_000


@dataclass
class RecordedCall:
    """A call of a function, or of a driver.

    Attributes:
        driver: The name of the driver; empty for a call of the function itself.
        args: Copies of the arguments by position; None if they were not kept.
        kwargs: Copies of the arguments by keyword.
        result: A copy of the result, or the message of the exception. Unless the recorder is complete, it is None but
            for the latest call of each test.
    """

    driver: str
    args: Sequence[Any] | None
    kwargs: Mapping[str, Any]
    result: Any = None


@dataclass
class CallRecorder:
    """Records calls by the test that makes them.

    Attributes:
        is_complete: Whether to keep the arguments of large calls and of drivers, too, and the results.
        calls: The calls, by the name of the test.
        outputs: What the function returned in all calls, as one number.
    """

    is_complete: bool = False
    calls: dict[str, list[RecordedCall]] = field(default_factory=dict)
    outputs: OutputSketch = field(default_factory=OutputSketch)
    _test: str = ""

    def start(self, test: str) -> None:
        """Let the calls that follow belong to a test."""
        self._test = test

    def wrap(self, answer: Any) -> "RecordedAnswer":
        """Return an answer that does the same, and whose calls are recorded."""
        return RecordedAnswer(answer, self)

    def record(self, driver: str, run: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Make a call, and return its result."""
        is_kept = self.is_complete or (not driver and call_size(args) <= _MAX_ENTRIES)
        call = RecordedCall(driver, copied(list(args)) if is_kept else None, copied(dict(kwargs)) if is_kept else {})
        calls = self.calls.setdefault(self._test, [])
        if calls and not self.is_complete:
            calls[-1].result = None
        calls.append(call)
        try:
            result = run(*args, **kwargs)
        except AnswerError as error:
            call.result = error.message
            raise
        if is_kept:
            call.result = copied(result)
        if not driver:
            self.outputs.add(result)
        return result


class RecordedAnswer:
    """An answer whose calls are recorded; see `Answers.answer`."""

    def __init__(self, answer: Any, recorder: CallRecorder) -> None:
        self._answer, self._recorder = answer, recorder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._recorder.record("", self._answer, args, kwargs)

    def __getattr__(self, driver: str) -> Callable[..., Any]:
        run = getattr(self._answer, driver)
        return lambda **inputs: self._recorder.record(driver, run, (), inputs)


def call_size(arguments: Sequence[Any]) -> int:
    """Return the number of entries of a call's tensors, and of characters of its lists of texts."""
    sizes = [value.numel() if isinstance(value, Tensor) else len(str(value)) for value in arguments]
    return sum(sizes)


def copied(value: Any) -> Any:
    """Return a copy of a value; a tensor has its strides, and requires a gradient as a leaf or as a result."""
    if isinstance(value, Tensor):
        copy = copy_with_strides(value).requires_grad_(value.requires_grad)
        return copy if value.is_leaf else copy.clone()
    if isinstance(value, list | tuple):
        kind = list if isinstance(value, list) else tuple  # a named tuple takes its items one by one
        return kind(map(copied, value))
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value
