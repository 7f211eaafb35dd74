"""Grade each answer of the bank with the hidden tests, once for all tests that need the results."""

from functools import cache
from typing import Any

import pytest

from rlhf_course.bank import Bank, bank_file, read_bank
from rlhf_course.course import BY_NAME
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.results import TestResult
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.paths import REPOSITORY

# The trainers' wrong answers take long to grade: a quick run tries only some of them.
QUICK_ANSWERS = 12
TRAINERS = ("RLHFTrainer", "GRPOTrainer")


@cache
def bank_of(exercise: str) -> Bank:
    """Return the bank of an exercise."""
    reference_answers()
    return read_bank(bank_file(REPOSITORY, BY_NAME[exercise]))


@cache
def graded(exercise: str, answer: Any) -> list[TestResult]:
    """Return the hidden tests' results of one answer."""
    return run_suite(LocalAnswers({exercise: answer}), [exercise])[exercise]


def failed(results: list[TestResult]) -> list[TestResult]:
    """Return the tests that gave no points."""
    return [result for result in results if result.status != "passed"]


@cache
def sole_refusals(exercise: str) -> dict[str, list[str]]:
    """Return, for each hidden test by its sentence, the wrong answers that no other test refuses."""
    refused: dict[str, list[str]] = {}
    for name, answer in bank_of(exercise).wrong.items():
        refusals = failed(graded(exercise, answer))
        if len(refusals) == 1:
            refused.setdefault(refusals[0].name, []).append(name)
    return refused


def parameters(exercise: str, names: list[str]) -> list[Any]:
    """Return parameters for answers of the bank; all but the first answers to a trainer are marked as slow."""
    slow = [pytest.mark.slow] if exercise in TRAINERS else []
    return [
        pytest.param(exercise, name, id=f"{exercise}-{name}", marks=slow if index >= QUICK_ANSWERS else [])
        for index, name in enumerate(names)
    ]
