"""The report of a class of 200 says what was put into the class: causes, numbers, groups and item analysis."""

import statistics
from collections import Counter

import numpy as np
import pytest
from class_of_200 import MISSING, MIXTURE, RIGHT, UNREADABLE, KnownClass, class_of_200, description, judged

from rlhf_course.grading.comments.groups import group_answers
from rlhf_course.grading.reports.pages import write_pages
from rlhf_course.grading.reports.summary import ClassSummary, summarise

OTHERS = (RIGHT, MISSING, UNREADABLE)


@pytest.fixture(scope="module")
def known() -> KnownClass:
    return class_of_200()


@pytest.fixture(scope="module")
def summary(known) -> ClassSummary:
    return summarise(known.report)


def test_the_causes_are_the_mistakes_that_were_put_in_with_their_learners_the_commonest_first(known, summary):
    found = [(cause.exercise, cause.description, sorted(cause.learners)) for cause in summary.causes]
    put_in = {
        (exercise, description(exercise, name)): learners
        for exercise, answers in known.put_in.items()
        for name, learners in answers.items()
        if name not in OTHERS and not name.startswith("all ")
    }
    assert {cause[:2]: cause[2] for cause in found if cause[:2] in put_in} == put_in
    (own,) = [cause for cause in found if cause[:2] not in put_in]
    assert own[2] == sorted(known.put_in["normalize_reward"]["all 0.3"] + known.put_in["normalize_reward"]["all 0.6"])
    counts = [len(learners) for _, _, learners in found]
    assert counts == sorted(counts, reverse=True) and found[0][1] == description("compute_advantages", "sign")
    assert not any(
        learner in cause.description + cause.example for cause in summary.causes for learner in ("learner0",)
    )


def test_the_numbers_of_each_exercise_are_those_that_were_put_in(known, summary):
    for exercise in summary.exercises:
        mixture = MIXTURE[exercise.name]
        counts: Counter[str] = Counter()
        for name, count in mixture.items():
            counts[judged(exercise.name, name).state] += count
        assert {state: count for state, count in exercise.counts.items() if count} == counts
        read = {name: count for name, count in mixture.items() if name != UNREADABLE}
        points = sum(judged(exercise.name, name).score * count for name, count in read.items())
        assert exercise.mean == pytest.approx(points / sum(read.values()))
        assert exercise.pass_rate == pytest.approx(mixture[RIGHT] / sum(read.values()))


def test_mean_and_median_leave_out_who_could_not_be_read(known, summary):
    unread = known.put_in["reward_fn_char_count"][UNREADABLE]
    assert sorted(summary.unread) == unread and len(summary.percents) == 196
    answers = {
        (exercise, learner): judged(exercise, name).score
        for exercise, by_name in known.put_in.items()
        for name, learners in by_name.items()
        for learner in learners
    }
    read = [result.name for result in known.report.submissions if result.name not in unread]
    scores = [sum(answers[exercise, learner] for exercise in MIXTURE) for learner in read]
    assert summary.mean == pytest.approx(statistics.fmean(scores)) and summary.median == statistics.median(scores)


def test_difficulty_and_correlation_of_each_test_are_those_of_the_answers_that_were_put_in(known, summary):
    assert len(summary.items) == sum(len(judged(exercise, RIGHT).tests) for exercise in MIXTURE)
    name_of = {
        (exercise, learner): name
        for exercise, by_name in known.put_in.items()
        for name, learners in by_name.items()
        for learner in learners
    }
    totals = {result.name: result.score for result in known.report.submissions}
    for item in summary.items:
        took = [learner for learner in totals if name_of[item.exercise, learner] not in (MISSING, UNREADABLE)]
        tests = [
            next(
                test for test in judged(item.exercise, name_of[item.exercise, learner]).tests if test.name == item.test
            )
            for learner in took
        ]
        passed = np.array([test.status == "passed" for test in tests], float)
        rest = np.array([totals[learner] for learner in took]) - passed * tests[0].points
        assert (item.learners, item.passed) == (len(took), passed.sum())
        assert item.failed_by == [learner for learner, ok in zip(took, passed, strict=True) if not ok]
        is_known = np.array([learner not in known.put_in["reward_fn_char_count"][UNREADABLE] for learner in took])
        if item.discrimination is None:
            assert item.remark == "everybody passes it" and passed.all()
        else:
            assert item.discrimination == pytest.approx(np.corrcoef(passed[is_known], rest[is_known])[0, 1])


def test_the_groups_of_an_exercise_are_the_answers_that_were_put_in(known):
    groups = group_answers(known.report.submissions)
    for exercise, by_name in known.put_in.items():
        assert sorted(sorted(group.members) for group in groups[exercise]) == sorted(by_name.values())


def test_every_page_of_the_class_is_written(known, tmp_path):
    write_pages(tmp_path, known.report)
    assert len(list((tmp_path / "learners").iterdir())) == 200
    page = (tmp_path / "exercises/normalize_reward.html").read_text()
    assert "<h3>50 answers: " in page and "def " in page
