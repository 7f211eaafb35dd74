"""One number stands for all that an answer returned: right answers share it up to rounding, and wrong ones do not."""

import math

import pytest
import torch
from graded_bank import bank_of

from rlhf_course.grading.judge.output_sketch import OutputSketch
from rlhf_course.grading.judge.recorder import CallRecorder
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.sandbox.answers import LocalAnswers


def number_of(exercise: str, answer: object) -> float:
    recorder = CallRecorder()
    run_suite(LocalAnswers({exercise: answer}), [exercise], recorder=recorder)
    assert recorder.outputs.number is not None
    return recorder.outputs.number


@pytest.mark.parametrize(
    "exercise",
    [
        "compute_advantages",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("calc_kl_penalty", "get_logprobs")),
    ],
)
def test_right_answers_have_one_number_up_to_rounding_and_most_mistakes_have_others(exercise):
    bank = bank_of(exercise)
    right = [number_of(exercise, answer) for answer in bank.right.values()]
    wrong = [number_of(exercise, answer) for answer in bank.wrong.values()]
    assert max(right) - min(right) < 1e-3
    assert len({round(number, 3) for number in wrong}) > len(wrong) / 2


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "output",
    [
        ENDLESS,
        torch.eye(2).to_sparse(),
        torch.ones(2, device="meta"),
        math.nan,
        10**400,
        [],
        [[1.0, [2]], "x"],
        None,
        torch.tensor([torch.inf, -torch.inf]),
        torch.empty(0),
    ],
)
def test_whatever_an_answer_returns_the_number_is_finite(output):
    sketch = OutputSketch()
    sketch.add(output)
    assert sketch.number is not None and -1 <= sketch.number <= 1


def test_without_a_call_there_is_no_number_and_the_order_of_outputs_counts():
    assert OutputSketch().number is None
    first, second = OutputSketch(), OutputSketch()
    for left, right in ((1, 2), (2, 1)):
        first.add(left)
        second.add(right)
    assert first.number != second.number
