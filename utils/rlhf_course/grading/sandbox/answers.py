"""Define the interface of a submission's answers to the hidden tests, and run trusted answers in this process."""

import contextlib
import inspect
import io
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from rlhf_course import stubs
from rlhf_course.checks.core import preserved_state
from rlhf_course.course import BY_NAME
from rlhf_course.grading.drivers import DRIVEN, driver, offline_environment
from rlhf_course.grading.sandbox.serialization import known_class_name, shown_class_name

Kind = Literal["error", "timeout", "missing", "unreadable"]
NOT_WRITTEN_MESSAGE = "this exercise is not written yet"


class AnswerError(Exception):
    """An error for an answer that gave no result.

    Attributes:
        kind: "error" if the answer raised an exception or ended its process, "timeout" if it took too long, "missing"
            if it is not written, "unreadable" if what was handed in for it could not be read.
        message: The message for the learner: the exception's class and the learner's line, without values and paths.
        exception: The names of the exception's class and its bases; empty if there was no exception.
    """

    def __init__(self, kind: Kind, message: str, exception: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.exception = kind, message, exception


class Answers(Protocol):
    """The answers of one submission."""

    def answer(self, exercise: str) -> Any:
        """Return the object that the tests of an exercise receive.

        For a function, it is a callable that behaves as the learner's function: results require a gradient where the
        learner's do, and an argument that the learner's code changes in place is changed for the caller. For any other
        exercise, it is an object whose attributes are the drivers of `grading/drivers/<part>/<module>.py`, which are
        called with keywords. Both have the driver `observe(case=...)`, which returns the visible check's observation
        of a case as data.

        Args:
            exercise: The name of the exercise.

        Raises:
            AnswerError: There is no answer, or its file cannot be imported.
        """


class LocalAnswers:
    """Runs answers in this process; this is for trusted code, such as the reference and the answers in the bank.

    Args:
        objects: Functions and classes, by the name of the exercise that they answer.
    """

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self._objects = dict(objects)

    def answer(self, exercise: str) -> Any:
        """See `Answers.answer`."""
        if exercise not in self._objects:
            raise AnswerError("missing", NOT_WRITTEN_MESSAGE)
        proxy = _DriverProxy if exercise in DRIVEN else _FunctionProxy
        return proxy(exercise, self._objects[exercise])


class _DriverProxy:
    """An answer that tests reach only through drivers."""

    def __init__(self, exercise: str, answer: Any) -> None:
        self._exercise, self._answer = exercise, answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        run = driver(self._exercise, name)
        return lambda **inputs: _call(self._exercise, self._answer, run, self._answer, **inputs)


class _FunctionProxy(_DriverProxy):
    """An answer that tests call as a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with offline_environment(self._exercise):
            return _call(self._exercise, self._answer, self._answer, *args, **kwargs)


def _call(exercise: str, answer: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that runs an answer, discard what it prints, and raise its exceptions as `AnswerError`."""
    printed = io.StringIO()
    with preserved_state(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            return function(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise answer_error(error, _source_file(answer), BY_NAME[exercise].file) from error


def _source_file(answer: Any) -> str:
    try:
        return inspect.getsourcefile(inspect.unwrap(answer)) or ""
    except TypeError:
        return ""


def answer_error(error: BaseException, path: str, display_name: str) -> AnswerError:
    """Return the `AnswerError` for an exception in an answer, without the exception's text, which may hold values.

    Args:
        error: The exception.
        path: The answer's file, as it was compiled.
        display_name: The name of that file in the message.
    """
    kinds = [kind for kind in type(error).__mro__ if kind not in (BaseException, object)]
    names = tuple(known_class_name(kind.__name__) for kind in kinds)  # as an answer in a sandbox gets them
    if isinstance(error, NotImplementedError) and str(error) == stubs.NOT_WRITTEN:
        return AnswerError("missing", NOT_WRITTEN_MESSAGE, names)
    own_file = Path(path).resolve()
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path and Path(frame.filename).resolve() == own_file
    ]
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == own_file:
        lines.append(error.lineno)
    location = f", at line {lines[-1]} of {display_name}" if lines else f", outside {display_name}"
    return AnswerError("error", f"{shown_class_name(names)}{location}", names)
