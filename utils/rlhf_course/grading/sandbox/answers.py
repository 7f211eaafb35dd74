"""Where the answers that are graded live: in this process, or behind a sandbox's wall."""

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
from rlhf_course.grading.drivers import DRIVEN, driver, surroundings

Kind = Literal["error", "timeout", "missing"]
NOT_WRITTEN = "this exercise is not written yet"


class AnswerError(Exception):
    """An answer gave no result.

    Attributes:
        kind: "error" where it raised, "timeout" where it took too long, "missing" where it is not written.
        message: for the learner: the exception's type and the learner's own line; no value, no path.
        exception: the exception's class and its bases, by name; empty where there was none.
    """

    def __init__(self, kind: Kind, message: str, exception: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.exception = kind, message, exception


class Answers(Protocol):
    """One submission's answers, by exercise."""

    def answer(self, exercise: str) -> Any:
        """What the tests of an exercise are given.

        For a function exercise, a callable that behaves as the learner's function: results hang on autograd where the
        learner's do, and an argument that the learner's code changes in place is changed for the caller. For the others,
        an object whose attributes are the drivers of `grading/drivers/<module>.py`, called with keywords. Both have the
        driver `observe(case=...)`: what the exercise's visible check sees on a case, as data.

        Raises:
            AnswerError: there is no answer, or its file does not load.
        """


class LocalAnswers:
    """Answers that run in this process: for code that is trusted, as the reference's and the bank's.

    Args:
        objects: functions and classes by the exercise that they answer.
    """

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self._objects = dict(objects)

    def answer(self, exercise: str) -> Any:
        """See `Answers`."""
        if exercise not in self._objects:
            raise AnswerError("missing", NOT_WRITTEN)
        kind = _Driven if exercise in DRIVEN else _Function
        return kind(exercise, self._objects[exercise])


class _Driven:
    """An answer that is only seen through drivers."""

    def __init__(self, exercise: str, answer: Any) -> None:
        self._exercise, self._answer = exercise, answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        run = driver(self._exercise, name)
        return lambda **inputs: _guarded(self._exercise, self._answer, run, self._answer, **inputs)


class _Function(_Driven):
    """An answer that is called as the function it is."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with surroundings(self._exercise):
            return _guarded(self._exercise, self._answer, self._answer, *args, **kwargs)


def _guarded(exercise: str, answer: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that runs an answer, preserved_state by what it prints, and with its exceptions as `AnswerError`."""
    printed = io.StringIO()
    with preserved_state(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            return function(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise account(error, _source(answer), BY_NAME[exercise].file) from error


def _source(answer: Any) -> str:
    try:
        return inspect.getsourcefile(inspect.unwrap(answer)) or ""
    except TypeError:
        return ""


def account(error: BaseException, path: str, shown: str) -> AnswerError:
    """What an exception in an answer amounts to, without its text, which may hold values.

    Args:
        error: what was raised.
        path: the answer's file, as it was compiled.
        shown: what the message calls that file.
    """
    names = tuple(one.__name__ for one in type(error).__mro__ if one not in (BaseException, object))
    if isinstance(error, NotImplementedError) and str(error) == stubs.NOT_WRITTEN:
        return AnswerError("missing", NOT_WRITTEN, names)
    own = Path(path).resolve()
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path and Path(frame.filename).resolve() == own
    ]
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == own:
        lines.append(error.lineno)
    where = f", at line {lines[-1]} of {shown}" if lines else f", outside {shown}"
    return AnswerError("error", f"{names[0]}{where}", names)
