"""The hidden tests refuse every wrong answer of the bank, take every right variant, and none of them is idle."""

import ast
import re

import pytest
import torch
from bank import WRONG, answers_of, declared, failed, judged, wrong_answers

from rlhf_course.checks.tiny import on_the_cpu
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import DRIVEN, surroundings
from rlhf_course.grading.judge.local_answers import reference_answers, trusted_answers
from rlhf_course.grading.judge.suite import HIDDEN, UNUSABLE, collected, points, run_suite, sentence

NAMES = [exercise.name for exercise in EXERCISES]
ROOT = HIDDEN.parents[1]


@pytest.fixture(autouse=True, scope="module")
def _classifier_stays_loaded():
    with on_the_cpu(), surroundings("reward_fn_sentiment_imdb"):
        yield


def items_of(exercise: str) -> list:
    return [item for item in collected() if item.path.stem == f"test_{BY_NAME[exercise].module}"]


def slow_where_many(exercise: str) -> list:
    """The trainer's wrong answers take long; those that keep a test from idling are tried each time."""
    needed = set(declared()[exercise]["only"].values())
    names = sorted(declared()[exercise]["refused"])
    marked = [pytest.mark.slow] if exercise == "RLHFTrainer" else []
    return [
        pytest.param(exercise, name, id=f"{exercise}-{name}", marks=[] if name in needed else marked) for name in names
    ]


def every_variant(exercise: str) -> list:
    text = (HIDDEN / "variants" / BY_NAME[exercise].file).read_text()
    names = re.findall(r"^(?:class|def) ([A-Za-z]\w*)", text, flags=re.MULTILINE)
    return [pytest.param(exercise, name, id=f"{exercise}-{name}") for name in names]


@pytest.mark.parametrize(("exercise", "name"), [one for exercise in NAMES for one in slow_where_many(exercise)])
def test_a_wrong_answer_is_refused_with_words_that_fit_it(exercise, name):
    refusals = failed(judged(exercise, wrong_answers(exercise)[name]))
    assert refusals, f"{name} has full marks"
    assert any(declared()[exercise]["refused"][name] in one.message for one in refusals), [
        one.message for one in refusals
    ]
    assert not any(UNUSABLE in one.message for one in refusals), "a test fell over in place of saying what is wrong"


@pytest.mark.parametrize("exercise", NAMES)
def test_without_any_one_hidden_test_some_wrong_answer_would_pass(exercise):
    only = declared()[exercise]["only"]
    assert list(only) == [item.originalname for item in items_of(exercise)], (
        "bank.toml names what each hidden test is for"
    )
    for test, name in only.items():
        refusals = failed(judged(exercise, wrong_answers(exercise)[name]))
        assert [one.name for one in refusals] == [sentence(test)], f"{name} is to be refused by {test} alone"


@pytest.mark.parametrize(("exercise", "name"), [one for exercise in NAMES for one in every_variant(exercise)])
def test_a_right_answer_by_another_route_has_full_marks(exercise, name):
    results = judged(exercise, answers_of(exercise, "variants")[name])
    assert not failed(results), [one.message for one in failed(results)]
    assert sum(one.points for one in results) == BY_NAME[exercise].points


@pytest.mark.parametrize("exercise", NAMES)
def test_the_reference_has_full_marks_and_tests_are_worth_what_the_exercise_is(exercise):
    results = run_suite(reference_answers(), [exercise])[exercise]
    assert not failed(results), [one.message for one in failed(results)]
    assert sum(one.points for one in results) == sum(map(points, items_of(exercise))) == BY_NAME[exercise].points


def test_an_exercise_that_is_not_written_has_no_marks():
    for exercise, results in run_suite(trusted_answers(ROOT / "notebooks"), NAMES).items():
        assert {one.status for one in results} == {"missing"}, exercise
        assert {one.message for one in results} == {"this exercise is not written yet"}


@pytest.mark.parametrize("exercise", [name for name in NAMES if name not in DRIVEN])
def test_an_answer_that_always_says_the_same_has_no_marks(exercise):
    def zeros(first, *others, **named):
        return torch.zeros(())

    def zeros_alike(first, *others, **named):
        return torch.zeros(len(first))

    def nothing(first, *others, **named):
        return None

    for constant in (zeros, zeros_alike, nothing):
        results = judged(exercise, constant)
        assert not [one.name for one in results if one.status == "passed"]


def definitions(exercise: str) -> dict[str, ast.AST]:
    """The bank's wrong answers as syntax trees, without names and docstrings."""
    found = {}
    for folder in WRONG:
        for node in ast.parse((HIDDEN / folder / BY_NAME[exercise].file).read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in found, f"{node.name} is in both folders"
                found[node.name] = node
    return found


@pytest.mark.parametrize("exercise", NAMES)
def test_the_bank_holds_enough_answers_none_a_copy_of_another(exercise):
    wrong = definitions(exercise)
    assert len(wrong) >= (25 if exercise == "RLHFTrainer" else 15)
    assert set(wrong) == set(declared()[exercise]["refused"])
    assert len(answers_of(exercise, "variants")) >= 5
    for node in wrong.values():
        assert ast.get_docstring(node), f"{node.name} has no sentence that says what is wrong"
        node.name, node.body = "", node.body[1:]
    bodies = [ast.dump(node) for node in wrong.values()]
    assert len(set(bodies)) == len(bodies), "two wrong answers are the same code"


@pytest.mark.parametrize("exercise", NAMES)
def test_no_message_holds_a_hidden_number_or_more_than_a_learner_reads(exercise):
    chosen = (
        wrong_answers(exercise)
        if exercise != "RLHFTrainer"
        else {name: wrong_answers(exercise)[name] for name in declared()[exercise]["only"].values()}
    )
    for name, answer in chosen.items():
        for one in failed(judged(exercise, answer)):
            assert one.message and len(one.message) < 400 and "\n" not in one.message, name
            assert not re.search(r"\d\.\d|tensor\(|\bassert\b|Traceback", one.message), one.message


def test_every_comparison_in_a_hidden_test_says_what_failed():
    for path in HIDDEN.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert) or node.msg is not None, (
                f"{path.name}:{node.lineno} would fail without a word"
            )


def test_a_hidden_test_takes_one_answer_that_of_its_own_exercise():
    for exercise in NAMES:
        for item in items_of(exercise):
            assert set(item.fixturenames) & set(NAMES) == {exercise}, item.nodeid
