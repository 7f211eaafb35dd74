"""Answers in a sandbox get the same results as in this process."""

import pytest
from graded_bank import bank_of, graded

from rlhf_course.bank import bank_file
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import offline_environment
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY

QUICK = ("reward_fn_char_count", "compute_advantages")
# About how many wrong answers to an exercise are judged in both ways.
SAMPLED = 6
NAMES = [exercise.name for exercise in EXERCISES]


def submission(exercise: str, name: str) -> Submission:
    """Return a submission with one of the bank's answers."""
    text = bank_file(REPOSITORY, BY_NAME[exercise]).read_text()
    return Submission(name, {BY_NAME[exercise].path: text + f"\n\n{exercise} = {name}\n"})


@pytest.mark.parametrize(
    "exercise", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NAMES]
)
def test_an_answer_gets_the_same_results_in_a_sandbox(judge, exercise):
    with offline_environment("reward_fn_sentiment_imdb"):
        bank = bank_of(exercise)
        chosen = [*bank.right, *list(bank.wrong)[:: len(bank.wrong) // SAMPLED]]
        for name in chosen:
            answer = (bank.right | bank.wrong)[name]
            with judge.answers(submission(exercise, name)) as answers:
                assert run_suite(answers, [exercise])[exercise] == graded(exercise, answer), name
