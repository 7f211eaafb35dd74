"""Fixtures of the hidden tests: the answer to each exercise, under the exercise's name.

`pytest tests/hidden --answers FOLDER` runs the tests on the answers in a folder, in this process, so it is only for
code that you trust. `rlhf-course grade` runs the same tests on answers in a sandbox.
"""

from typing import Any

import pytest

from rlhf_course.course import DEFAULT_PART, EXERCISES, Exercise
from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.judge.local_answers import trusted_answers
from rlhf_course.grading.judge.suite import ANSWERS, draw_of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--answers", default="solutions", help=f"the folder that holds {DEFAULT_PART.name}/, by default solutions/"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "points(n): the points that the test gives")


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Draw:
    """The source of the test's inputs, seeded from the course's secret and the test's name."""
    return draw_of(request.node)


def _fixture(exercise: Exercise) -> Any:
    @pytest.fixture(name=exercise.name)
    def answer(request: pytest.FixtureRequest) -> Any:
        if ANSWERS not in request.config.stash:
            request.config.stash[ANSWERS] = trusted_answers(request.config.getoption("--answers"))
        return request.config.stash[ANSWERS].answer(exercise.name)

    return answer


for _exercise in EXERCISES:
    globals()[f"_{_exercise.name}"] = _fixture(_exercise)
