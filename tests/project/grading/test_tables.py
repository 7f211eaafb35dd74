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


DRAWN = [exercise.name for exercise in EXERCISES if draws_its_inputs(exercise)]
FUNCTIONS = [name for name in DRAWN if name not in DRIVEN]
RECORDED, OTHER = Secret(b"r" * 32), Secret(b"o" * 32)


def key_of(value: Any) -> bytes:
    """Return the bytes that a table knows an argument by."""
    if isinstance(value, torch.Tensor):
        return repr((value.dtype, value.tolist())).encode()
    if isinstance(value, list | tuple):
        return b"[" + b",".join(key_of(item) for item in value) + b"]"
    if isinstance(value, dict):
        return key_of(sorted(value.items()))
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


class DriverTable:
    """Replies to drivers from a table, as code in a sandbox could that lies about what an answer does.

    Args:
        proxy: The right answer, whose replies are recorded.
        change: What becomes of a reply to the same driver, where the table holds none for the inputs.
    """

    def __init__(self, proxy: Any, change: Any) -> None:
        self._proxy, self._change = proxy, change
        self.replies: dict[str, dict[bytes, Any]] = {}
        self.recording = True

    def answer(self, exercise: str) -> "DriverTable":
        return self

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._reply, name)

    def _reply(self, name: str, **inputs: Any) -> Any:
        known = self.replies.setdefault(name, {})
        key = hashlib.sha256(key_of(inputs)).digest()
        if self.recording:
            known[key] = getattr(self._proxy, name)(**inputs)
        return known[key] if key in known else self._change(next(iter(known.values())))


def zeros_in_place(reply: Any) -> Any:
    """Return a reply with zeros in place of all numbers of its tensors."""
    if isinstance(reply, torch.Tensor):
        return torch.zeros_like(reply)
    if isinstance(reply, dict):
        return {key: zeros_in_place(value) for key, value in reply.items()}
    return [zeros_in_place(value) for value in reply] if isinstance(reply, list) else reply


@pytest.mark.parametrize("change", [lambda reply: reply, zeros_in_place], ids=["known reply", "zeros"])
@pytest.mark.parametrize("exercise", [name for name in DRAWN if name in DRIVEN])
def test_a_table_of_the_drivers_replies_earns_nothing_under_another_secret(exercise, change):
    table = DriverTable(reference_answers().answer(exercise), change)
    recorded = run_suite(table, [exercise], secret=RECORDED)[exercise]
    assert all(result.status == "passed" for result in recorded)
    table.recording = False
    replayed = run_suite(table, [exercise], secret=OTHER)[exercise]
    assert table.replies and not [result.name for result in replayed if result.status == "passed"]
