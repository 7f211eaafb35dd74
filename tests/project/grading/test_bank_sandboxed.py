"""Answers in a sandbox are judged as the same answers in this process."""

import pytest
from bank import answers_of, declared, judged, wrong_answers

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import surroundings
from rlhf_course.grading.judge.suite import HIDDEN, run_suite
from rlhf_course.grading.submissions.submission import Submission

QUICK = ("reward_fn_char_count", "compute_advantages")


def submission(exercise: str, folder: str, name: str) -> Submission:
    """A submission whose answer is one of the bank's."""
    file = BY_NAME[exercise].file
    return Submission(
        name, {BY_NAME[exercise].path: (HIDDEN / folder / file).read_text() + f"\n\n{exercise} = {name}\n"}
    )


@pytest.mark.parametrize(
    "exercise", [pytest.param(one.name, marks=[] if one.name in QUICK else [pytest.mark.slow]) for one in EXERCISES]
)
def test_a_sandbox_changes_no_result(judge, exercise):
    wrong = set(declared()[exercise]["only"].values())
    chosen = [("variants", name) for name in answers_of(exercise, "variants")]
    chosen += [
        (folder, name) for folder in ("mistakes", "wrong") for name in answers_of(exercise, folder) if name in wrong
    ]
    with surroundings("reward_fn_sentiment_imdb"):
        for folder, name in chosen:
            answer = answers_of(exercise, "variants")[name] if folder == "variants" else wrong_answers(exercise)[name]
            with judge.answers(submission(exercise, folder, name)) as answers:
                assert run_suite(answers, [exercise])[exercise] == judged(exercise, answer), name
