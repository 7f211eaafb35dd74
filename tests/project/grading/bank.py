"""The bank of wrong answers and right variants, and what the hidden tests make of each."""

import tomllib
from functools import cache

from rlhf_course.building.bank import answers_in
from rlhf_course.course import BY_NAME
from rlhf_course.grading.judge.answers import LocalAnswers
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import HIDDEN, run_suite
from rlhf_course.grading.results import TestResult

WRONG = ("mistakes", "wrong")


@cache
def declared() -> dict:
    """What `bank.toml` says."""
    return tomllib.loads((HIDDEN / "bank.toml").read_text())


@cache
def answers_of(exercise: str, folder: str) -> dict:
    """The answers in one folder of the bank."""
    reference_answers()
    return answers_in(HIDDEN / folder / BY_NAME[exercise].file)


def wrong_answers(exercise: str) -> dict:
    """Every wrong answer to an exercise, by name."""
    return answers_of(exercise, "mistakes") | answers_of(exercise, "wrong")


@cache
def judged(exercise: str, answer: object) -> list[TestResult]:
    """The hidden tests' results of one answer, tried once."""
    return run_suite(LocalAnswers({exercise: answer}), [exercise])[exercise]


def failed(results: list[TestResult]) -> list[TestResult]:
    """Those that gave no points."""
    return [one for one in results if one.status != "passed"]
