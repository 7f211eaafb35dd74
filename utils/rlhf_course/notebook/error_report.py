"""Describe an exception of a learner's code in a few lines: what was raised, where, and the likely reason."""

import contextlib
import inspect
import linecache
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook import workspace
from rlhf_course.notebook.session import current_session
from rlhf_course.notebook.time_limit import VARIABLE, TimeLimitExceeded

_MAX_LINE_LENGTH = 300


@dataclass(frozen=True)
class Place:
    """A line of the learner's code.

    Attributes:
        file: The file as a message names it.
        line: The number of the line.
        text: The line.
        is_from_cell: Whether a cell of this notebook holds the file's text, below the line with `%%exercise`.
    """

    file: str
    line: int
    text: str
    is_from_cell: bool = False

    def __str__(self) -> str:
        in_cell = f" (line {self.line + 1} of the cell)" if self.is_from_cell else ""
        return f"line {self.line} of {self.file}{in_cell}: {self.text}"


_NUMPY = "The result is NumPy's; return a PyTorch tensor, which the code that calls your function needs."
_REASON_BY_TYPE = {
    "NoneType": "The function returns nothing; is there a `return` at the end?",
    "coroutine": "`async def` defines a coroutine, which has to be awaited; write `def`.",
    "generator": "`yield` makes the function a generator; write `return`.",
    "ndarray": _NUMPY,
    "float64": _NUMPY,
    "float32": _NUMPY,
}
_NUMBER = "The result is a number of Python, which carries no gradient; return a tensor, without `.item()`."
_SEVERAL = (
    "That function of torch returns values and indices together; take `.values` or `.indices` of what it returns."
)
_REASON_BY_TYPE_FOR_A_TENSOR = {
    "float": _NUMBER,
    "int": _NUMBER,
    "bool": _NUMBER,
    "list": "The result is a list; return one tensor.",
    "tuple": "The function returns several results; return the tensor alone. A comma behind it makes a tuple, too.",
    "max": _SEVERAL,
    "min": _SEVERAL,
    "median": _SEVERAL,
    "mode": _SEVERAL,
    "sort": _SEVERAL,
    "topk": _SEVERAL,
}
# What torch raises where NumPy is given a tensor that requires a gradient.
_NUMPY_REFUSED = re.compile(r"Can't call numpy\(\)|__array__")


def reason_of_type(name: str, wanted: str) -> str | None:
    """Return the likely reason why a result has another type than the wanted one; None if it is not a usual one.

    Args:
        name: The name of the result's type.
        wanted: The name of the type that it should have.
    """
    if name in _REASON_BY_TYPE:
        return _REASON_BY_TYPE[name]
    if wanted == "float" and name in ("int", "bool"):
        return f"The result is of the type {name}; convert it with `float`."
    return _REASON_BY_TYPE_FOR_A_TENSOR.get(name) if wanted == "Tensor" else None


def reason_of_error(exercise: Exercise, error: BaseException, place: Place | None) -> str | None:
    """Return the likely reason of an exception that can be raised in any exercise, or None.

    Args:
        exercise: The exercise.
        error: The exception.
        place: The last line of the learner's code that it passed through, if any.
    """
    is_elsewhere = place is not None and place.file not in (exercise.path, "your code")
    if isinstance(error, TimeLimitExceeded):
        return f"a loop that does not end. If the machine is only slow, set {VARIABLE} to more seconds."
    if isinstance(error, NotImplementedError) and place is not None:
        return f"{place.file} is still to be written, and your code calls it."
    if isinstance(error, NameError) and error.name:
        if is_elsewhere and place is not None:
            return f"{place.file} does not define {error.name}."
        return (
            f"{error.name} is defined outside the exercise's cell, if at all: the cell is saved as a file, so put "
            "every import and helper that it needs into it."
        )
    if isinstance(error, RecursionError):
        return "a function calls itself, directly or through another, and nothing ends that; look at the line above."
    if isinstance(error, SystemExit):
        return "`exit()` and `sys.exit()` end the whole program; leave a function with `return`, and a file without."
    if isinstance(error, RuntimeError | TypeError) and _NUMPY_REFUSED.search(_text(error)):
        return "NumPy cannot pass a gradient on, and here one has to flow: use the functions of torch."
    if isinstance(error, RuntimeError) and "Boolean value of Tensor" in _text(error):
        return (
            "`if` and `and` need one truth value, and a tensor has many. Whether an argument was given is asked by "
            "`is not None`, and a condition on the numbers of a tensor by `.any()` or `.all()`."
        )
    if isinstance(error, ImportError):
        return _reason_of_import_error(exercise, error)
    return None


def reason_of_refusal(error: BaseException, place: Place | None) -> str | None:
    """Return the reason of an exception that the learner's own `raise` or `assert` raised on an allowed input, or None.

    Args:
        error: The exception.
        place: The last line of the learner's code that it passed through, if any.
    """
    name = type(error).__name__
    statement = f"raise {name}" if name != "AssertionError" else "assert"
    if place is None or not re.search(rf"\b{re.escape(statement)}\b", place.text):
        return None
    return f"Your own `{statement.split()[0]}` refuses this input, and a result is wanted: look at its condition."


def _reason_of_import_error(exercise: Exercise, error: ImportError) -> str | None:
    top, _, module = (error.name or "").partition(".")
    imported = f"{top}/{module}.py"
    files = _files_of(exercise, error)
    if imported in files:  # It is imported while it is being imported itself.
        other = next((file for file in reversed(files) if file != imported), exercise.path)
        return (
            f"{imported} and {other} import each other, directly or through a third file: put what both need into a "
            "file that imports neither, or import inside the function that uses it."
        )
    if isinstance(error, ModuleNotFoundError) and top and workspace.file_of(exercise).with_name(f"{top}.py").is_file():
        return f"{exercise.part}/ is a package: write `from {exercise.part}.{top} import ...`."
    return None


def _files_of(exercise: Exercise, error: BaseException) -> list[str]:
    """Return the learner's files of the part that an exception passed through, the outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [file for frame in frames if (file := _display_name(exercise, frame.filename))]


def error_lines(
    exercise: Exercise, error: BaseException, answer: Any, case_description: str | None = None
) -> list[str]:
    """Describe an exception in a few lines, with the last line of the learner's code that it passed through.

    Args:
        exercise: The exercise.
        error: The exception.
        answer: The learner's function or class; None if it could not be loaded.
        case_description: The description of the case on which the exception was raised, if any.
    """
    lines = [f"{exercise.name}: error."]
    if isinstance(error, TimeLimitExceeded):
        lines = [f"{exercise.name}: stopped, since there was no result after {error.seconds:g} seconds."]
    if case_description:
        lines.append(f"input:  {shortened(case_description)}")
    if not isinstance(error, TimeLimitExceeded):
        lines.append(shortened(f"raised: {type(error).__name__}{_message(error)}"))
    if place := place_of(exercise, error, answer):
        lines.append(shortened(f"at:     {place}"))
    return lines


def load_error_lines(exercise: Exercise, error: BaseException) -> list[str]:
    """Describe an exception that was raised while an answer's file was imported, with its likely reason."""
    lines = error_lines(exercise, error, None)
    if reason := reason_of_error(exercise, error, place_of(exercise, error, None)):
        lines.append(f"likely: {reason}")
    return lines


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the message is the learner's code
        return ""


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return " (the check was interrupted)"
    try:
        message = str(error).strip().splitlines()
    except Exception as broken:
        return f", whose message raises {type(broken).__name__}"
    return f": {' '.join(message[:2])}" if message else ""


def place_of(exercise: Exercise, error: BaseException, answer: Any) -> Place | None:
    """Return the last line of the learner's code that an exception passed through; helpers of the part are theirs."""
    if isinstance(error, SyntaxError) and error.lineno:
        file = _display_name(exercise, error.filename or "") or exercise.path
        return Place(file, error.lineno, (error.text or "").strip())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = _display_name(exercise, frame.filename) or (
            "your code" if frame.filename == _source_file(answer) else ""
        )
        if file:
            line = frame.lineno or 0
            text = (frame.line or linecache.getline(frame.filename, line)).strip()
            return Place(file, line, text, _is_from_cell(exercise, file))
    return None


def _is_from_cell(exercise: Exercise, file: str) -> bool:
    """Return whether a file of the learner holds what a cell of this notebook saved or loaded last."""
    digest = current_session().digests.get(exercise.name)
    return file == exercise.path and digest is not None and digest == workspace.digest(workspace.read_answer(exercise))


def _display_name(exercise: Exercise, filename: str) -> str:
    """Return the name of a file of the exercise's part as a message has it; empty for any other file."""
    with contextlib.suppress(CourseError, ValueError):
        path = Path(filename).relative_to(workspace.find_workspace())
        return path.as_posix() if path.parts[0] == exercise.part else ""
    return ""


def _source_file(answer: Any) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(answer))
    except (TypeError, ValueError):
        return None


def shortened(line: str) -> str:
    """Return a line, cut if it is very long."""
    return line if len(line) <= _MAX_LINE_LENGTH else line[: _MAX_LINE_LENGTH - 1] + "…"
