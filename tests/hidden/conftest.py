"""The fixtures of the hidden tests: each exercise's answer, under the exercise's name.

`pytest tests/hidden --answers FOLDER` tries a folder that holds `part1_rlhf/`, in this process: for code that you trust.
`rlhf-course grade` runs the same tests on answers that live in a sandbox.
"""

from typing import Any

import pytest

from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.grading.judge.local_answers import trusted_answers
from rlhf_course.grading.judge.suite import ANSWERS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--answers", default="solutions", help="the folder that holds part1_rlhf/, by default solutions/")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "points(n): what the test is worth")


def _fixture(exercise: Exercise) -> Any:
    @pytest.fixture(name=exercise.name)
    def answer(request: pytest.FixtureRequest) -> Any:
        if ANSWERS not in request.config.stash:
            request.config.stash[ANSWERS] = trusted_answers(request.config.getoption("--answers"))
        return request.config.stash[ANSWERS].answer(exercise.name)

    return answer


for _exercise in EXERCISES:
    globals()[f"_{_exercise.name}"] = _fixture(_exercise)
