"""`rlhf-course new-exercise` writes a skeleton, or nothing."""

import ast
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rlhf_course.building import new_exercise
from rlhf_course.building.new_exercise import COURSE_LIST, add_exercise, todo_lines
from rlhf_course.building.notebooks import exercises_in
from rlhf_course.cli import app
from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.paths import REPOSITORY

PART = DEFAULT_PART.name


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the command reads, which is the repository for the command."""
    for folder in ("solutions", "tests/hidden", "utils/rlhf_course/checks", "utils/rlhf_course/grading/drivers"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(REPOSITORY / COURSE_LIST, tmp_path / COURSE_LIST)
    monkeypatch.setattr(new_exercise, "REPOSITORY", tmp_path)
    return tmp_path


def add(clone: Path, name: str, part: str = PART, notebook: str | None = None, is_class: bool = False) -> list[str]:
    return add_exercise(clone, name, part, notebook, is_class, points=3)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(clone: Path) -> list[str]:
    """The names in the list of exercises of a copy."""
    return [exercise.name for exercise in load_module(clone / COURSE_LIST, "_copied_course").EXERCISES]


@pytest.mark.parametrize("notebook", ["4", "04", "04_sampling_and_rewards"])
def test_the_entry_stands_behind_those_of_the_same_notebook_and_the_section_at_its_end(clone, notebook):
    add(clone, "halve_reward", notebook=notebook)
    names = listed(clone)
    assert names.index("halve_reward") == names.index("normalize_reward") + 1
    assert len(names) == len(EXERCISES) + 1
    assert exercises_in(clone / "solutions/notebooks/04_sampling_and_rewards.md")[-1] == "halve_reward"


def test_an_exercise_of_the_first_notebook_stands_first_in_the_list(clone):
    add(clone, "first_steps", notebook="1")
    assert listed(clone)[0] == "first_steps"


def test_without_a_notebook_the_last_one_that_teaches_an_exercise_is_taken(clone):
    add(clone, "halve_reward")
    assert exercises_in(clone / f"solutions/notebooks/{DEFAULT_PART.exercises[-1].notebook}.md")[-1] == "halve_reward"


def test_a_notebook_that_does_not_import_check_imports_it_in_the_section(clone):
    add(clone, "first_steps", notebook="1")
    assert "from rlhf_course import check\n" in (clone / "solutions/notebooks/01_environment.md").read_text()


@pytest.mark.parametrize(("is_class", "name", "count"), [(False, "halve_reward", 4), (True, "HalveReward", 5)])
def test_the_skeleton_is_python_and_marks_what_is_to_be_written(clone, is_class, name, count):
    _, _, *files = add(clone, name, is_class=is_class)
    assert len(files) == count
    for path in files:
        ast.parse((clone / path).read_text())
    exercise = load_module(clone / COURSE_LIST, "_copied_course").BY_NAME[name]
    assert exercise.file == "halve_reward.py"
    marked = {line.partition(":")[0] for line in todo_lines(clone, exercise)}
    assert marked == {*files, f"solutions/notebooks/{exercise.notebook}.md"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("halve-reward", "no Python keyword"),
        ("2nd", "no Python keyword"),
        ("récompense", "no Python keyword"),
        ("lambda", "no Python keyword"),
        ("test_reward", "have a meaning for pytest or Python"),
        ("conftest", "have a meaning for pytest or Python"),
        ("__init__", "have a meaning for pytest or Python"),
        ("get_logprobs", "is an exercise of part1_rlhf already"),
        ("trainer", "solutions/part1_rlhf/trainer.py"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_written(clone, name, reason):
    before = contents(clone)
    with pytest.raises(CourseError, match=reason):
        add(clone, name)
    assert contents(clone) == before


@pytest.mark.parametrize("name", ["TestReward", "Lambda", "Conftest", "Trainer"])
def test_a_class_whose_file_would_have_such_a_name_is_refused(clone, name):
    with pytest.raises(CourseError, match=r"cannot name|trainer\.py exists"):
        add(clone, name, is_class=True)


@pytest.mark.parametrize(
    "path",
    [
        "solutions/part1_rlhf/halve_reward.py",
        "utils/rlhf_course/checks/part1_rlhf/halve_reward.py",
        "tests/hidden/part1_rlhf/halve_reward.py",
        "tests/hidden/part1_rlhf/test_halve_reward.py",
        "notebooks/part1_rlhf/halve_reward.py",
    ],
)
def test_a_file_that_exists_is_never_overwritten(clone, path):
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).write_text("mine = 1\n")
    before = contents(clone)
    with pytest.raises(CourseError, match=f"{path} exists"):
        add(clone, "halve_reward")
    assert contents(clone) == before


def test_an_unknown_part_or_notebook_is_refused_with_those_that_there_are(clone):
    before = contents(clone)
    with pytest.raises(CourseError, match="the parts are part1_rlhf"):
        add(clone, "halve_reward", part="part9")
    with pytest.raises(CourseError, match=r"its notebooks are 01_environment, .*, 09_sentiment"):
        add(clone, "halve_reward", notebook="11")
    assert contents(clone) == before


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_an_error_in_the_middle_leaves_every_file_as_it_was(clone, monkeypatch, error):
    before = contents(clone)
    write_text = new_exercise.write_text

    def fail_at_the_bank(path: Path, text: str) -> None:
        if path == clone / "tests/hidden/part1_rlhf/halve_reward.py":
            raise error
        write_text(path, text)

    monkeypatch.setattr(new_exercise, "write_text", fail_at_the_bank)
    with pytest.raises((CourseError, KeyboardInterrupt)):
        add(clone, "halve_reward")
    assert contents(clone) == before


def test_outside_of_a_clone_the_command_says_that_it_needs_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new-exercise", "halve_reward"])
    assert isinstance(result.exception, CourseError)
    assert "needs a clone of the course" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_in_another_clone_than_the_one_of_the_package_the_command_says_so(clone, monkeypatch):
    monkeypatch.setattr(new_exercise, "REPOSITORY", REPOSITORY)
    with pytest.raises(CourseError, match="run `make setup` in"):
        add(clone, "halve_reward")


def test_the_command_prints_what_it_wrote_and_the_next_steps(clone, monkeypatch):
    monkeypatch.chdir(clone)
    result = CliRunner().invoke(app, ["new-exercise", "halve_reward", "--notebook", "4", "--points", "3"])
    assert result.exit_code == 0, result.output
    for text in (COURSE_LIST, "tests/hidden/part1_rlhf/test_halve_reward.py", "1. ", "rlhf-course build", "TODO:"):
        assert text in result.output
