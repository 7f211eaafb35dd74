"""Tests of the part's package, which gives each exercise by its name, whatever other file is broken."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from rlhf_course import EXERCISES, use_code
from rlhf_course.cli import app
from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.paths import SOLUTIONS

NAMES = [exercise.name for exercise in EXERCISES]
FIRST_PART = [exercise.name for exercise in DEFAULT_PART.exercises]


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    """A learner's package, whose answers the tests break."""
    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf", ignore=shutil.ignore_patterns("__pycache__"))
    use_code(tmp_path)
    return tmp_path / "part1_rlhf"


@pytest.mark.parametrize("exercise", EXERCISES, ids=NAMES)
def test_a_name_gives_the_exercise_and_never_the_submodule_of_that_name(exercise):
    for _ in range(2):
        scope: dict = {}
        exec(f"from {exercise.part} import {exercise.name} as answer", scope)
        assert scope["answer"].__name__ == exercise.name
        assert not isinstance(scope["answer"], ModuleType)
        importlib.import_module(exercise.qualified_module)
        package = exercise.part
        exec(f"import {package}.{exercise.module}\nimport {package}\nanswer = {package}.{exercise.name}", scope)
        assert not isinstance(scope["answer"], ModuleType)


@pytest.mark.parametrize(
    "text", ["def compute_advantages(:", "raise SystemExit", "import nothing_of_that_name", "1 / 0", ""]
)
def test_a_broken_file_fails_alone_and_only_when_its_exercise_is_imported(learner, text):
    (learner / "compute_advantages.py").write_text(text)
    import part1_rlhf

    for name in set(FIRST_PART) - {"compute_advantages"}:
        assert getattr(part1_rlhf, name).__name__ == name
    with pytest.raises((SyntaxError, SystemExit, ImportError, ZeroDivisionError)):
        part1_rlhf.compute_advantages  # noqa: B018


def test_a_file_without_its_exercise_is_named(learner):
    (learner / "get_logprobs.py").write_text("def get_log_probs(): ...")
    with pytest.raises(ImportError, match=r"get_logprobs\.py does not define get_logprobs"):
        from part1_rlhf import get_logprobs  # noqa: F401


def test_a_name_that_is_no_exercise_is_refused():
    import part1_rlhf

    assert set(FIRST_PART) <= set(dir(part1_rlhf))
    with pytest.raises(AttributeError, match="no exercise 'calc_kl'"):
        part1_rlhf.calc_kl  # noqa: B018


def test_another_folder_takes_the_place_of_the_first(learner):
    (learner / "compute_advantages.py").write_text("def compute_advantages(values, rewards, prefix_len): return 'mine'")
    import part1_rlhf

    assert part1_rlhf.compute_advantages(None, None, 1) == "mine"
    use_code(SOLUTIONS)
    assert importlib.import_module("part1_rlhf").__file__ == str(SOLUTIONS / "part1_rlhf" / "__init__.py")
    with pytest.raises(CourseError, match="holds no part1_rlhf"):
        use_code(learner.parent.parent / "nowhere")


def test_the_list_of_exercises_is_printed_as_json():
    listed = json.loads(CliRunner().invoke(app, ["exercises", "--json"]).stdout)
    assert [exercise["name"] for exercise in listed] == NAMES
    assert all(
        set(exercise) == {"name", "part", "file", "notebook", "points", "difficulty", "importance", "minutes"}
        for exercise in listed
    )
    files = {exercise["name"]: exercise["file"] for exercise in listed}
    assert files["RewardModel"] == "reward_model.py"
    assert files["HookedTransformerWithValueHead"] == "value_head.py"
    assert files["RLHFTrainer"] == "trainer.py"
    assert all((SOLUTIONS / exercise["part"] / exercise["file"]).is_file() for exercise in listed)
