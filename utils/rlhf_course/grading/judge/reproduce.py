"""Write recorded calls of an answer as lines of Python, which make the same calls again in a notebook."""

import inspect
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.drivers import DRIVEN
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.recorder import RecordedCall
from rlhf_course.learner_package import imported_answer

SCRIPT = "reproduce.py"
_MAX_INLINE = 400
_NEEDS_CLASSIFIER = "reward_fn_sentiment_imdb"


def write_reproduction(exercise: str, calls: Sequence[RecordedCall], folder: Path) -> Path:
    """Write all calls to a script in a folder, and their large tensors to files beside it.

    Returns:
        The path of the script.

    Raises:
        CourseError: A file cannot be written.
    """
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / SCRIPT
        script.write_text("\n".join(reproduction(exercise, calls, folder)) + "\n", encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be written: {error.strerror}") from error
    return script


def reproduction(
    exercise: str, calls: Sequence[RecordedCall], folder: Path | None = None, first: int = 1
) -> Iterator[str]:
    """Return lines of Python that make calls of an answer, and print what each returns.

    Args:
        exercise: The name of the exercise.
        calls: The calls, with their arguments.
        folder: Where large tensors are saved; None to name only their size.
        first: The number of the first call.
    """
    yield "import torch"
    if exercise in DRIVEN:
        yield "from rlhf_course.grading.sandbox.answers import LocalAnswers"
    if exercise == _NEEDS_CLASSIFIER:
        yield "from rlhf_course.grading.drivers import offline_environment  # the tests' classifier is a tiny one"
    yield f"# Define {exercise} first: it is in the submission."
    for number, call in enumerate(calls, first):
        yield f"\n# call {number}"
        yield from _call(exercise, call, number, folder)


def _call(exercise: str, call: RecordedCall, number: int, folder: Path | None) -> Iterator[str]:
    names = _parameter_names(exercise) if not call.driver else []
    positional = {
        names[index] if index < len(names) else f"argument_{index + 1}": value
        for index, value in enumerate(call.args or ())
    }
    for name, value in {**positional, **call.kwargs}.items():
        yield f"{name} = {_Writer(number, name, folder).code(value)}"
    arguments = ", ".join([*positional, *(f"{name}={name}" for name in call.kwargs)])
    if call.driver:
        yield f'print(LocalAnswers({{"{exercise}": {exercise}}}).answer("{exercise}").{call.driver}({arguments}))'
    elif exercise == _NEEDS_CLASSIFIER:
        yield f'with offline_environment("{exercise}"):\n    print({exercise}({arguments}))'
    else:
        yield f"print({exercise}({arguments}))"


def _parameter_names(exercise: str) -> list[str]:
    """Return the names of the parameters of the reference's function."""
    if exercise not in BY_NAME:
        return []
    reference_answers()
    return list(inspect.signature(imported_answer(exercise)).parameters)


class _Writer:
    """Writes the value of one argument as Python, and saves its large tensors."""

    def __init__(self, call: int, name: str, folder: Path | None) -> None:
        self._stem, self._folder, self._saved = f"call_{call}_{name}", folder, 0

    def code(self, value: Any) -> str:
        """Return an expression for a value."""
        if isinstance(value, Tensor):
            return self._tensor(value) + (".requires_grad_()" if value.requires_grad else "")
        if isinstance(value, list | tuple):
            items = ", ".join(map(self.code, value))
            return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key!r}: {self.code(item)}" for key, item in value.items()) + "}"
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        return repr(value)

    def _tensor(self, value: Tensor) -> str:
        if value.numel() > _MAX_INLINE:
            return self._saved_tensor(value)
        tensor = f"torch.tensor({self.code(value.tolist())}, dtype={value.dtype})"
        if not value.numel():
            tensor = f"torch.zeros({tuple(value.shape)}, dtype={value.dtype})"
        if value.is_contiguous():
            return tensor
        strides = f"{tuple(value.shape)}, {value.stride()}, dtype={value.dtype}"
        return f"torch.empty_strided({strides}).copy_({tensor})"

    def _saved_tensor(self, value: Tensor) -> str:
        if self._folder is None:
            return f"...  # {' x '.join(map(str, value.shape))} entries: `--explain-to DIR` saves them"
        self._saved += 1
        path = self._folder / f"{self._stem}_{self._saved}.pt"
        torch.save(value.detach(), path)
        return f"torch.load({str(path)!r})"
