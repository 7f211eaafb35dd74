"""Fixtures and collection for `pytest utils/rlhf_course/checks`, which runs the self-checks as tests.

The environment variable RLHF_COURSE_WORKSPACE names the folder whose answers are checked: `solutions`, or a learner's.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.learner_package import WORKSPACE_VARIABLES, imported_answer, use_code


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the modules named after exercises, whose names do not match pytest's `python_files`."""
    checks = {Path(__file__).parent / exercise.path for exercise in EXERCISES}
    if file_path in checks and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def _fixture(exercise: Exercise) -> Any:
    @pytest.fixture(name=exercise.name)
    def answer() -> Any:
        use_code(next(filter(None, map(os.environ.get, WORKSPACE_VARIABLES)), "."))
        return imported_answer(exercise.name)

    return answer


for _exercise in EXERCISES:
    globals()[f"_{_exercise.name}"] = _fixture(_exercise)
