"""Make the results of a class of 200 whose causes are known: each distinct answer is judged once."""

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from graded_bank import bank_of

from rlhf_course.bank import description_of
from rlhf_course.course import BY_NAME
from rlhf_course.grading.judge.judge import _exercise_result
from rlhf_course.grading.judge.mistakes import recognised_mistake
from rlhf_course.grading.judge.recorder import CallRecorder
from rlhf_course.grading.judge.suite import HIDDEN, run_suite
from rlhf_course.grading.results import ExerciseResult, GradeReport, SubmissionResult
from rlhf_course.grading.sandbox.answers import AnswerError, LocalAnswers

SIZE = 200
MISSING, UNREADABLE, RIGHT = "missing", "unreadable", "right"


def _constant(value: float) -> Callable[..., Any]:
    return lambda reward, eps=1e-5: reward * 0 + value


# Two answers to which the tests reply alike, and which are no known mistakes.
OWN = {"all 0.3": _constant(0.3), "all 0.6": _constant(0.6)}
# How many learners hand in which answer: a name in the bank, or one of the words above.
MIXTURE: dict[str, dict[str, int]] = {
    "reward_fn_char_count": {RIGHT: 150, "counts_presence": 25, "one_total": 15, MISSING: 6, UNREADABLE: 4},
    "normalize_reward": {RIGHT: 97, "no_shift": 50, "median": 20, "all 0.3": 14, "all 0.6": 9, MISSING: 10},
    "compute_advantages": {RIGHT: 90, "sign": 60, "prefix_kept": 22, "whole_return": 8, MISSING: 20},
}


@dataclass(frozen=True)
class KnownClass:
    """A class, and what was put in.

    Attributes:
        report: The results.
        put_in: For each exercise and answer the names of the learners.
    """

    report: GradeReport
    put_in: dict[str, dict[str, list[str]]]


class _Refusing:
    """Answers of which none is there, or can be read."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def answer(self, exercise: str) -> Any:
        raise AnswerError(self._kind, f"it is {self._kind}")


def description(exercise: str, name: str) -> str:
    """Return the description of a wrong answer of the bank."""
    return description_of(BY_NAME[exercise], name, bank_of(exercise).wrong[name])


@cache
def judged(exercise: str, name: str) -> ExerciseResult:
    """Return the judge's result of one answer."""
    bank, recorder = bank_of(exercise), CallRecorder()
    if name in (MISSING, UNREADABLE):
        tests = run_suite(_Refusing(name), [exercise])[exercise]
        return _exercise_result(tests, None, None)
    answer = OWN.get(name) or bank.wrong.get(name) or next(iter(bank.right.values()))
    answers = LocalAnswers({exercise: answer})
    tests = run_suite(answers, [exercise], recorder=recorder)[exercise]
    failed = [test.name for test in tests if test.status != "passed"]
    mistake = recognised_mistake(answers, exercise, recorder.calls, failed, HIDDEN) if failed else None
    return _exercise_result(tests, mistake, recorder.outputs.number)


def class_of_200() -> KnownClass:
    """Return the class; who hands in which answer is drawn from a fixed seed."""
    chance = random.Random(0)
    learners = [f"learner{number:03}" for number in range(SIZE)]
    put_in: dict[str, dict[str, list[str]]] = {}
    exercises: dict[str, dict[str, ExerciseResult]] = {name: {} for name in learners}
    examples: dict[str, dict[str, str]] = {}
    for exercise, mixture in MIXTURE.items():
        order = chance.sample(learners, SIZE)
        for name, count in mixture.items():
            members, order = sorted(order[:count]), order[count:]
            put_in.setdefault(exercise, {})[name] = members
            for learner in members:
                exercises[learner][exercise] = judged(exercise, name)
            if name in bank_of(exercise).wrong:
                text = inspect.getsource(bank_of(exercise).wrong[name])
                examples.setdefault(exercise, {})[members[0]] = text
    results = [
        SubmissionResult(
            name=name,
            score=sum(result.score for result in graded.values()),
            max_score=sum(result.max_score for result in graded.values()),
            seconds=0.5,
            warnings=[],
            exercises=graded,
        )
        for name, graded in exercises.items()
    ]
    return KnownClass(GradeReport(isolation="unsafe", submissions=results, examples=examples), put_in)
