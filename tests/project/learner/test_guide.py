"""docs/adding_an_exercise.md works when it is followed word for word."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from learners import learner_environment

from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.paths import REPOSITORY

GUIDE = (REPOSITORY / "docs/adding_an_exercise.md").read_text()
# A path in backticks at the start of a paragraph, what the paragraph says of it, and the code block behind it.
FILE = re.compile(r"^`([^`\n]+)`([^\n]*):\n\n(`{3,4})\w+\n(.*?)^\3$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "double_reward"


class Step(NamedTuple):
    """A file to write, or, where there is no path, a command to run."""

    path: str
    manner: str
    text: str


def steps() -> Iterator[Step]:
    """The files and the commands of the guide, in the order in which they are written."""
    found = [(match.start(), Step(match[1], match[2], match[4])) for match in FILE.finditer(GUIDE)]
    for match in COMMANDS.finditer(GUIDE):
        found += [(match.start(), Step("", "", line)) for line in match[1].splitlines()]
    return (step for _, step in sorted(found, key=lambda item: item[0]))


def follow(root: Path, step: Step) -> str:
    """Do one step in a copy of the repository; returns what a command printed."""
    path = root / step.path
    if not step.path:
        return run(root, step.text)
    if "holds the line" in step.manner:
        assert step.text.strip() in path.read_text()
    elif "from `## TODO:` on" in step.manner:
        kept, _, _ = path.read_text().partition("## TODO:")
        path.write_text(kept + step.text)
    else:
        assert path.is_file(), f"new-exercise has not written {step.path}"
        path.write_text(step.text)
    return ""


def run(root: Path, command: str) -> str:
    environment = {**os.environ, **learner_environment(), "PYTHONPATH": str(root / "utils"), "COLUMNS": "200"}
    done = subprocess.run(["bash", "-c", command], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def learners_checks(root: Path) -> list[str]:
    """What `check` and `hint` print for the untouched stub, for a known mistake and for a right answer."""
    bodies = {"squared": "return reward * reward", "doubled": "return reward * 2"}
    for name, body in bodies.items():
        shutil.copytree(root / "notebooks", root / name)
        (root / name / "part1_rlhf/double_reward.py").write_text(f"def double_reward(reward):\n    {body}\n")
    program = f"from rlhf_course import check, hint; check({NAME!r}); hint({NAME!r})"
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    return [run(root, f"RLHF_COURSE_WORKSPACE={folder} {python}") for folder in ("notebooks", *bodies)]


@pytest.fixture
def copy_of_the_repository(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("solutions", "notebooks", "tests", "utils", "docs", "benchmarks", "recipes"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(REPOSITORY / name, root)
    (root / ".venv").symlink_to(sys.prefix)
    return root


def test_the_guide_names_a_file_of_each_kind_and_starts_with_the_command():
    first, *others = steps()
    assert first.text.startswith(f".venv/bin/rlhf-course new-exercise {NAME} ")
    assert len({step.path for step in others if step.path}) == 6
    assert NAME not in BY_NAME


@pytest.mark.slow
def test_the_guide_followed_word_for_word_gives_an_exercise_that_is_built_checked_and_graded(copy_of_the_repository):
    root = copy_of_the_repository
    printed = {step.text: follow(root, step) for step in steps()}
    stub = (root / f"notebooks/part1_rlhf/{NAME}.py").read_text()
    assert "NotImplementedError" in stub and "SOLUTION" not in stub
    tests = next(text for command, text in printed.items() if "test_bank.py" in command)
    # Four tests for each wrong answer and two for each right one would be missed if none was collected.
    assert int(re.search(r"(\d+) passed", tests)[1]) >= 2 * 15 + 12 + 2 * 5
    table = next(text for command, text in printed.items() if "grade solutions" in command)
    total = DEFAULT_PART.points + 3
    assert f"{total} / {total}" in table
    untouched, squared, doubled = learners_checks(root)
    assert "double_reward: not attempted" in untouched and "hint 1 of 3: Each text has a reward" in untouched
    assert "double_reward: wrong" in squared and "likely: You squared the reward" in squared
    assert "double_reward: passed" in doubled
    assert "TODO" not in (root / "solutions/notebooks/04_sampling_and_rewards.md").read_text()
