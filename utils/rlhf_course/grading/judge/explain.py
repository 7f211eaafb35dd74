"""Show an instructor what a hidden test passed to an answer, what came back and what was wanted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.compare import Comparison, recorded_comparisons
from rlhf_course.grading.judge.suite import collected_names, run_suite, sentence
from rlhf_course.grading.results import TestResult
from rlhf_course.grading.sandbox.answers import AnswerError, Answers
from rlhf_course.grading.secret import Secret

_MAX_SHOWN = 400


@dataclass
class _Recorder:
    """Records the calls of an answer; see `Answers.answer`."""

    proxy: Any
    calls: list[tuple[str, dict[str, Any], Any]] = field(default_factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = {str(index): _copy(value) for index, value in enumerate(args, 1)}
        return self._record("call", inputs | {name: _copy(value) for name, value in kwargs.items()}, args, kwargs)

    def _record(self, name: str, inputs: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = self.proxy if name == "call" else getattr(self.proxy, name)
        try:
            result = run(*args, **kwargs)
        except AnswerError as error:
            self.calls.append((name, inputs, error.message))
            raise
        self.calls.append((name, inputs, _copy(result)))
        return result

    def __getattr__(self, name: str) -> Any:
        getattr(self.proxy, name)
        return lambda **kwargs: self._record(name, {key: _copy(value) for key, value in kwargs.items()}, (), kwargs)


class _RecordedAnswers:
    """Answers whose calls are recorded."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.recorder: _Recorder | None = None

    def answer(self, exercise: str) -> Any:
        """See `Answers.answer`."""
        self.recorder = _Recorder(self._answers.answer(exercise))
        return self.recorder


def explain(answers: Answers, exercise: str, test: str, secret: Secret) -> Iterator[str]:
    """Run one hidden test and describe it in lines: each call, each comparison, and the result.

    Args:
        answers: The submission's answers.
        exercise: The name of the exercise.
        test: The test's name, as a function or as the sentence that results show.
        secret: The course's secret.

    Raises:
        CourseError: The exercise has no such test.
    """
    names = {sentence(name): name for name in collected_names(exercise)}
    name = names.get(sentence(test.replace(" ", "_")).replace("_", " "), names.get(test))
    if name is None:
        raise CourseError(f"{exercise} has no hidden test {test!r}; it has: {'; '.join(names)}")
    recorded = _RecordedAnswers(answers)
    with recorded_comparisons() as comparisons:
        (result,) = run_suite(recorded, [exercise], tests=[name], secret=secret)[exercise]
    return _lines(exercise, result, recorded.recorder, comparisons, secret)


def _lines(
    exercise: str, result: TestResult, recorder: _Recorder | None, comparisons: list[Comparison], secret: Secret
) -> Iterator[str]:
    yield f"{exercise}: {result.name} ({result.points:g} points), with the secret {secret.fingerprint}"
    for number, (name, inputs, output) in enumerate(recorder.calls if recorder else [], 1):
        yield f"\n{name} {number}"
        yield from (f"  {key} = {_shown(value)}" for key, value in inputs.items())
        yield f"  returned {_shown(output)}"
    for comparison in comparisons:
        yield f"\n{comparison.subject}"
        yield f"  came   {_shown(comparison.got)}"
        yield from (f"  wanted {_shown(wanted)}" for wanted in comparison.wanted)
    yield f"\n{result.status}" + (f": {result.message}" if result.message else "")


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):
        return type(value)([_copy(item) for item in value])
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value


def _shown(value: Any) -> str:
    """Return a value in one line, a tensor with its dtype and shape."""
    if isinstance(value, Tensor):
        numbers = torch.round(value.double(), decimals=5).tolist()
        text = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)} {numbers}"
    else:
        text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."
