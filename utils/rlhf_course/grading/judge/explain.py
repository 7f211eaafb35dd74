"""Show an instructor what a hidden test passed to an answer, what came back and what was wanted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.compare import Comparison, recorded_comparisons
from rlhf_course.grading.judge.recorder import CallRecorder, RecordedCall
from rlhf_course.grading.judge.reproduce import reproduction, write_reproduction
from rlhf_course.grading.judge.suite import collected_names, run_suite, sentence
from rlhf_course.grading.results import TestResult
from rlhf_course.grading.sandbox.answers import Answers
from rlhf_course.grading.secret import Secret

_MAX_SHOWN = 400
_MAX_CALLS_IN_PYTHON = 3


def explain(answers: Answers, exercise: str, test: str, secret: Secret, folder: Path | None = None) -> Iterator[str]:
    """Run one hidden test and describe it in lines: each call, each comparison, the calls in Python, and the result.

    Args:
        answers: The submission's answers.
        exercise: The name of the exercise.
        test: The test's name, as a function or as the sentence that results show.
        secret: The course's secret.
        folder: Where a script with all calls is written, and their large tensors; None to write nothing.

    Raises:
        CourseError: The exercise has no such test, or a file cannot be written.
    """
    names = {sentence(name): name for name in collected_names(exercise)}
    name = names.get(sentence(test.replace(" ", "_")).replace("_", " "), names.get(test))
    if name is None:
        raise CourseError(f"{exercise} has no hidden test {test!r}; it has: {'; '.join(names)}")
    recorder = CallRecorder(is_complete=True)
    with recorded_comparisons() as comparisons:
        (result,) = run_suite(answers, [exercise], tests=[name], secret=secret, recorder=recorder)[exercise]
    calls = [call for recorded in recorder.calls.values() for call in recorded]
    python = _python(exercise, calls, folder)
    return _lines(exercise, result, calls, comparisons, python, secret)


def _python(exercise: str, calls: list[RecordedCall], folder: Path | None) -> list[str]:
    """Return lines of Python that make the calls again, or the last of many; or the script that does so."""
    if folder is not None:
        return [f"%run -i {write_reproduction(exercise, calls, folder)}"]
    shown = calls if len(calls) <= _MAX_CALLS_IN_PYTHON else calls[-1:]
    lines = list(reproduction(exercise, shown, first=len(calls) - len(shown) + 1))
    if len(shown) < len(calls):
        lines.append(f"# This is the last call; `--explain-to DIR` writes all {len(calls)}.")
    return lines


def _lines(
    exercise: str,
    result: TestResult,
    calls: list[RecordedCall],
    comparisons: list[Comparison],
    python: list[str],
    secret: Secret,
) -> Iterator[str]:
    yield f"{exercise}: {result.name} ({result.points:g} points), with the secret {secret.fingerprint}"
    for number, call in enumerate(calls, 1):
        yield f"\n{call.driver or 'call'} {number}"
        inputs = {**{str(index): value for index, value in enumerate(call.args or (), 1)}, **call.kwargs}
        yield from (f"  {key} = {_shown(value)}" for key, value in inputs.items())
        yield f"  returned {_shown(call.result)}"
    for comparison in comparisons:
        yield f"\n{comparison.subject}"
        yield f"  came   {_shown(comparison.got)}"
        yield from (f"  wanted {_shown(wanted)}" for wanted in comparison.wanted)
    if calls:
        yield "\nin a notebook"
        yield from python
    yield f"\n{result.status}" + (f": {result.message}" if result.message else "")


def _shown(value: Any) -> str:
    """Return a value in one line, a tensor with its dtype and shape."""
    if isinstance(value, Tensor):
        numbers = torch.round(value.detach().double(), decimals=5).tolist()
        text = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)} {numbers}"
    else:
        text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."
