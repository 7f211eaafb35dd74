"""The self-checks as tests: `pytest utils/rlhf_course/checks`, with RLHF_COURSE_DESK=solutions or a learner's folder."""

import os
from pathlib import Path
from typing import Any

import pytest

from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.learner_package import imported_answer, use_code


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the modules named after exercises, which pytest would pass over for their names."""
    checks = {Path(__file__).parent / exercise.path for exercise in EXERCISES}
    if file_path in checks and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def _fixture(exercise: Exercise) -> Any:
    @pytest.fixture(name=exercise.name)
    def answer() -> Any:
        use_code(os.environ.get("RLHF_COURSE_DESK", "."))
        return imported_answer(exercise.name)

    return answer


for _exercise in EXERCISES:
    globals()[f"_{_exercise.name}"] = _fixture(_exercise)
