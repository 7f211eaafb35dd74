"""What the hidden tests make of each answer of the bank."""

from functools import cache
from typing import Any

import pytest

from rlhf_course.building.bank import Bank, bank_file, read_bank
from rlhf_course.course import BY_NAME
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.results import TestResult
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.paths import REPOSITORY

# The trainer's wrong answers take long: every run tries some of them, the whole run all.
TRIED_EACH_TIME = 12


@cache
def bank_of(exercise: str) -> Bank:
    """The bank of an exercise, loaded once."""
    reference_answers()
    return read_bank(bank_file(REPOSITORY, BY_NAME[exercise]))


@cache
def graded(exercise: str, answer: Any) -> list[TestResult]:
    """The hidden tests' results of one answer, run once."""
    return run_suite(LocalAnswers({exercise: answer}), [exercise])[exercise]


def failed(results: list[TestResult]) -> list[TestResult]:
    """The tests that gave no points."""
    return [result for result in results if result.status != "passed"]


@cache
def sole_refusals(exercise: str) -> dict[str, list[str]]:
    """For each hidden test, in words, the wrong answers that no other test refuses."""
    refused: dict[str, list[str]] = {}
    for name, answer in bank_of(exercise).wrong.items():
        refusals = failed(graded(exercise, answer))
        if len(refusals) == 1:
            refused.setdefault(refusals[0].name, []).append(name)
    return refused


def parameters(exercise: str, names: list[str]) -> list[Any]:
    """Parameters of a test for answers of the bank; those of the trainer beyond the first are slow."""
    slow = [pytest.mark.slow] if exercise == "RLHFTrainer" else []
    return [
        pytest.param(exercise, name, id=f"{exercise}-{name}", marks=slow if index >= TRIED_EACH_TIME else [])
        for index, name in enumerate(names)
    ]
