"""The self-checks as tests: `pytest utils/rlhf_course/checks`, with RLHF_COURSE_DESK=solutions or a learner's folder."""

from pathlib import Path
from typing import Any

import pytest

from rlhf_course.course import EXERCISES
from rlhf_course.notebook import workspace


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the modules named after exercises, which pytest would pass over for their names."""
    is_check = file_path.parent == Path(__file__).parent and file_path.name in {exercise.file for exercise in EXERCISES}
    if is_check and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def _fixture(exercise: Any) -> Any:
    @pytest.fixture(name=exercise.name)
    def answer() -> Any:
        workspace.load_all()
        return workspace.load_answer(exercise)

    return answer


for _exercise in EXERCISES:
    globals()[f"_{_exercise.name}"] = _fixture(_exercise)
