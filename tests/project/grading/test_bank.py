"""The hidden tests refuse every wrong answer of the bank, accept every right one, and each of them is needed."""

import ast
import re
import zlib
from typing import Any

import pytest
import torch
from graded_bank import TRAINERS, bank_of, failed, graded, parameters, sole_refusals

from rlhf_course.bank import LEAST_WRONG, bank_file, missing_answers, refused_with
from rlhf_course.checks.tiny import on_the_cpu
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import DRIVEN, offline_environment
from rlhf_course.grading.judge.local_answers import reference_answers, trusted_answers
from rlhf_course.grading.judge.suite import HIDDEN, UNUSABLE, collected, points, run_suite, sentence
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.secret import public_secret

NAMES = [exercise.name for exercise in EXERCISES]
# How many secrets the benchmark judges the bank under, and of which exercises a test takes only some answers.
SECRETS = 20
SAMPLED_EACH = dict.fromkeys(TRAINERS, 6)
ROOT = HIDDEN.parents[1]
SLOW_WHERE_MANY = {name: pytest.param(name, marks=pytest.mark.slow) for name in TRAINERS}


@pytest.fixture(autouse=True, scope="module")
def _classifier_stays_loaded():
    with on_the_cpu(), offline_environment("reward_fn_sentiment_imdb"):
        yield


def items_of(exercise: str) -> list[pytest.Function]:
    """Return the hidden tests of an exercise."""
    return [
        item
        for item in collected()
        if item.path.stem == f"test_{BY_NAME[exercise].module}" and item.path.parent.name == BY_NAME[exercise].part
    ]


def every(kind: str) -> list[Any]:
    """Return parameters for the answers of one kind, "right" or "wrong", to all exercises."""
    return [
        parameter for exercise in NAMES for parameter in parameters(exercise, list(getattr(bank_of(exercise), kind)))
    ]


@pytest.mark.parametrize(("exercise", "name"), every("wrong"))
def test_a_wrong_answer_is_refused_with_a_fitting_message(exercise, name):
    answer = bank_of(exercise).wrong[name]
    refusals = failed(graded(exercise, answer))
    messages = [refusal.message for refusal in refusals]
    assert refusals, f"{name} has full marks"
    assert any(refused_with(answer) in message for message in messages), messages
    assert not any(UNUSABLE in message for message in messages), (
        "a test raised an exception instead of saying what is wrong"
    )


@pytest.mark.parametrize("exercise", [SLOW_WHERE_MANY.get(name, name) for name in NAMES])
def test_without_any_one_hidden_test_some_wrong_answer_would_pass(exercise):
    refused = sole_refusals(exercise)
    idle = [item.originalname for item in items_of(exercise) if sentence(item.originalname) not in refused]
    assert not idle, f"no wrong answer needs {', '.join(idle)}: write one that no other test refuses"


@pytest.mark.parametrize(("exercise", "name"), every("right"))
def test_every_right_answer_of_the_bank_gets_full_marks(exercise, name):
    results = graded(exercise, bank_of(exercise).right[name])
    assert not failed(results), [result.message for result in failed(results)]
    assert sum(result.points for result in results) == BY_NAME[exercise].points


@pytest.mark.slow
@pytest.mark.parametrize("exercise", NAMES)
def test_under_another_secret_each_answer_is_judged_as_under_this_one(exercise):
    """The benchmark `bank_secrets.py` judges each answer under twenty; here each one meets one of these."""
    answers = list((bank_of(exercise).wrong | bank_of(exercise).right).items())
    for name, answer in answers[:: SAMPLED_EACH.get(exercise, 1)]:
        number = zlib.crc32(name.encode()) % SECRETS
        results = run_suite(LocalAnswers({exercise: answer}), [exercise], secret=public_secret(number))[exercise]
        assert bool(failed(results)) == (name in bank_of(exercise).wrong), (name, number)


@pytest.mark.parametrize("exercise", NAMES)
def test_the_reference_gets_full_marks_and_the_tests_points_add_up_to_the_exercises(exercise):
    results = run_suite(reference_answers(), [exercise])[exercise]
    assert not failed(results), [result.message for result in failed(results)]
    assert sum(result.points for result in results) == sum(map(points, items_of(exercise))) == BY_NAME[exercise].points


def test_an_exercise_that_is_not_written_gets_no_points():
    for exercise, results in run_suite(trusted_answers(ROOT / "notebooks"), NAMES).items():
        assert {result.status for result in results} == {"missing"}, exercise
        assert {result.message for result in results} == {"this exercise is not written yet"}


@pytest.mark.parametrize("exercise", [name for name in NAMES if name not in DRIVEN])
def test_an_answer_that_always_returns_the_same_gets_no_points(exercise):
    def zeros(first, *others, **named):
        return torch.zeros(())

    def zeros_alike(first, *others, **named):
        return torch.zeros(len(first))

    def nothing(first, *others, **named):
        return None

    for constant in (zeros, zeros_alike, nothing):
        results = graded(exercise, constant)
        assert not [result.name for result in results if result.status == "passed"]


@pytest.mark.parametrize("exercise", NAMES)
def test_the_bank_holds_enough_answers_and_no_two_are_the_same_code(exercise):
    bank = bank_of(exercise)
    missing = missing_answers(exercise, bank, 25 if exercise in TRAINERS else LEAST_WRONG)
    assert not missing, "; ".join(missing)
    definitions = {
        node.name: node
        for node in ast.parse(bank_file(ROOT, BY_NAME[exercise]).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in bank.wrong
    }
    assert set(definitions) == set(bank.wrong), "a wrong answer is defined twice"
    for name, node in definitions.items():
        assert ast.get_docstring(node), f"{name} has no sentence that says what is wrong"
        node.name, node.body, node.decorator_list = "", node.body[1:], node.decorator_list[1:]
    bodies = [ast.dump(node) for node in definitions.values()]
    assert len(set(bodies)) == len(bodies), "two wrong answers are the same code"


@pytest.mark.parametrize(("exercise", "name"), every("wrong"))
def test_no_message_holds_a_hidden_number_or_is_too_long(exercise, name):
    for refusal in failed(graded(exercise, bank_of(exercise).wrong[name])):
        assert refusal.message and len(refusal.message) < 400 and "\n" not in refusal.message
        assert not re.search(r"\d\.\d|tensor\(|\bassert\b|Traceback", refusal.message), refusal.message


def test_every_assertion_in_a_hidden_test_has_a_message():
    for path in HIDDEN.glob("*/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert) or node.msg is not None, (
                f"{path.name}:{node.lineno} would fail without a message"
            )


def test_a_hidden_test_uses_only_the_answer_to_its_own_exercise():
    for exercise in NAMES:
        for item in items_of(exercise):
            assert set(item.fixturenames) & set(NAMES) == {exercise}, item.nodeid
