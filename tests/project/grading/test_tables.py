"""A table of the tests' questions and answers, recorded under one secret, earns nothing under another one."""

import functools
import hashlib
from typing import Any

import pytest
import torch

from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.grading.drivers import DRIVEN, offline_environment
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import collected, run_suite
from rlhf_course.grading.results import TestResult
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.secret import Secret
from rlhf_course.learner_package import imported_answer


def draws_its_inputs(exercise: Exercise) -> bool:
    """Return whether the hidden tests of an exercise draw their inputs."""
    module = f"test_{exercise.module}"
    return all("draw" in item.fixturenames for item in collected() if item.path.stem == module)


FUNCTIONS = [exercise.name for exercise in EXERCISES if exercise.name not in DRIVEN and draws_its_inputs(exercise)]
RECORDED, OTHER = Secret(b"r" * 32), Secret(b"o" * 32)


def key_of(value: Any) -> bytes:
    """Return the bytes that a table knows an argument by."""
    if isinstance(value, torch.Tensor):
        return repr((value.dtype, value.tolist())).encode()
    return repr(value).encode()


class Table:
    """Answers from a table of arguments and results; without a formula, it can only guess for other arguments.

    Args:
        function: The right answer, which the table is recorded from.
        guess: What the table answers for arguments that it does not hold, given a result that it holds.
    """

    def __init__(self, function: Any, guess: Any) -> None:
        self._function, self._guess = function, guess
        self.results: dict[str, Any] = {}
        self.recording = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        keys = b"|".join(key_of(value) for value in (*args, *sorted(kwargs.items())))
        key = hashlib.sha256(keys).hexdigest()
        if self.recording:
            self.results[key] = self._function(*args, **kwargs)
        if key in self.results:
            return self.results[key]
        return self._guess(next(iter(self.results.values())))


def judged(exercise: str, table: Table, secret: Secret) -> list[TestResult]:
    answer = functools.wraps(imported_answer(exercise))(lambda *args, **kwargs: table(*args, **kwargs))
    return run_suite(LocalAnswers({exercise: answer}), [exercise], secret=secret)[exercise]


@pytest.mark.parametrize(
    "guess", [lambda known: known, lambda known: torch.zeros_like(known)], ids=["known result", "zeros"]
)
@pytest.mark.parametrize("exercise", FUNCTIONS)
def test_a_table_recorded_under_one_secret_earns_nothing_under_another(exercise, guess):
    reference_answers()
    with offline_environment(exercise):
        table = Table(imported_answer(exercise), guess)
        assert all(result.status == "passed" for result in judged(exercise, table, RECORDED))
        table.recording = False
        replayed = judged(exercise, table, OTHER)
    passed = [result.name for result in replayed if result.status == "passed"]
    assert table.results and not passed
