"""A wrong answer is told the known mistake whose behaviour it has on the drawn inputs, and never another one."""

from pathlib import Path

import pytest

from rlhf_course.bank import bank_file, description_of, read_bank
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import DRIVEN
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.mistakes import RIGHT_ALONE, recognised_mistake
from rlhf_course.grading.judge.recorder import CallRecorder
from rlhf_course.grading.judge.suite import HIDDEN, run_suite
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY, SOLUTIONS

FUNCTIONS = [exercise.name for exercise in EXERCISES if exercise.name not in DRIVEN]
KL = "calc_kl_penalty"


@pytest.fixture(autouse=True)
def _reference():
    reference_answers()


def bank_of(exercise: str):
    return read_bank(bank_file(REPOSITORY, BY_NAME[exercise]))


def diagnosis(exercise: str, make_answer, hidden: Path = HIDDEN) -> str | None:
    """Grade an answer, and return the mistake that is recognised in a new copy of it."""
    recorder = CallRecorder()
    tests = run_suite(LocalAnswers({exercise: make_answer()}), [exercise], recorder=recorder)[exercise]
    failed = [test.name for test in tests if test.status != "passed"]
    assert failed, "the answer is wrong"
    return recognised_mistake(LocalAnswers({exercise: make_answer()}), exercise, recorder.calls, failed, hidden)


@pytest.mark.parametrize("exercise", FUNCTIONS)
def test_a_known_mistake_is_recognised_on_the_inputs_of_the_hidden_tests_and_no_other_is_named(exercise):
    wrong = bank_of(exercise).wrong
    names = list(wrong)[::7]
    found = {name: diagnosis(exercise, lambda name=name: bank_of(exercise).wrong[name]) for name in names}
    assert all(found[name] in (None, description_of(BY_NAME[exercise], name, wrong[name])) for name in names), (
        "another mistake is named"
    )
    assert sum(sentence is not None for sentence in found.values()) >= 2 * len(names) / 3


def test_a_mistake_that_nobody_has_written_down_gets_no_sentence():
    def make():
        right = next(iter(bank_of(KL).right.values()))
        return lambda logits, ref_logits, kl_coef, gen_len: right(logits, ref_logits, kl_coef, gen_len) * 1.37

    assert diagnosis(KL, make) is None


def test_a_mistake_that_shows_only_sometimes_is_not_taken_for_the_one_that_always_shows():
    def make():
        bank = bank_of(KL)
        right, wrong = next(iter(bank.right.values())), bank.wrong["turned_sign"]

        def wrong_for_large_coefficients(logits, ref_logits, kl_coef, gen_len):
            return (wrong if kl_coef > 2 else right)(logits, ref_logits, kl_coef, gen_len)

        return wrong_for_large_coefficients

    assert diagnosis(KL, make) is None


def test_the_bank_of_other_hidden_tests_is_used(tmp_path):
    path = tmp_path / BY_NAME[KL].path
    path.parent.mkdir()
    path.write_text(
        "from rlhf_course.bank import hidden_mistake\n\n\n@hidden_mistake\n"
        "def zero(logits, ref_logits, kl_coef, gen_len):\n"
        '    """The penalty is always zero."""\n    return 0 * logits.sum()\n'
    )
    assert diagnosis(KL, lambda: lambda logits, ref_logits, kl_coef, gen_len: 0 * logits.sum(), tmp_path) == (
        "The penalty is always zero."
    )


STATEFUL = """

CALLS = []


def normalize_reward(reward, eps=1e-5):
    CALLS.append(reward)
    return (reward - reward.mean()) / (reward.std() + eps) + 0.37 * (len(CALLS) - 1)
"""
WRONG_AT_ONCE = STATEFUL.replace("(len(CALLS) - 1)", "len(CALLS)")


@pytest.mark.parametrize(("text", "is_named"), [(STATEFUL, True), (WRONG_AT_ONCE, False)], ids=["later", "at once"])
def test_an_answer_whose_first_call_is_right_is_told_that_it_keeps_something(judge, text, is_named):
    result = judge.grade(Submission("one", {BY_NAME["normalize_reward"].path: text})).exercises["normalize_reward"]
    assert result.status == "failed" and (result.mistake == RIGHT_ALONE) == is_named


@pytest.mark.parametrize(
    ("exercise", "name"), [("bradley_terry_loss", "through_single_precision"), ("best_of_n_kl", "rounded")]
)
def test_an_answer_that_is_only_imprecise_is_not_told_that_it_keeps_something(exercise, name):
    assert diagnosis(exercise, lambda: bank_of(exercise).wrong[name]) != RIGHT_ALONE


def test_an_answer_that_switches_gradients_off_is_told_so(judge):
    text = (SOLUTIONS / BY_NAME["compute_advantages"].path).read_text()
    text = text.replace("### BEGIN SOLUTION", "torch.set_grad_enabled(False)", 1).replace("@torch.no_grad()", "")
    result = judge.grade(Submission("one", {BY_NAME["compute_advantages"].path: text})).exercises["compute_advantages"]
    messages = [test.message for test in result.tests if test.status != "passed"]
    assert result.mistake != RIGHT_ALONE and messages == [
        "A call switches gradients off for all later code: leave torch as it was"
    ]
