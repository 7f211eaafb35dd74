"""The course grows by parts: another part with one exercise is built, checked, released, graded and nbgraded."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_guide import NAME, Step, copy_of_the_repository, follow, run, steps

from rlhf_course.course import DEFAULT_PART, EXERCISES, PARTS
from rlhf_course.paths import REPOSITORY

PART, NOTEBOOK = "part4_demo", "20_rewards"
LISTED = "\n)\nPARTS_BY_NAME"
ADDED = f"""
    Part(name="{PART}", title="Another part", notebooks=(20,), exercises=()),{LISTED}"""
POINTS = 3

__all__ = ["copy_of_the_repository"]  # the fixture


@pytest.fixture
def root(copy_of_the_repository: Path) -> Path:
    """A copy of the repository in which another part has the exercise of the authors' guide."""
    root = copy_of_the_repository
    for name in ("LICENSE", "requirements.lock", "environment.yml"):
        shutil.copy(REPOSITORY / name, root)
    listed = root / "utils/rlhf_course/course.py"
    assert LISTED in listed.read_text()
    listed.write_text(listed.read_text().replace(LISTED, ADDED))
    package = root / "solutions" / PART
    package.mkdir()
    first = (root / "solutions" / DEFAULT_PART.name / "__init__.py").read_text()
    (package / "__init__.py").write_text(first.replace(DEFAULT_PART.name, PART))
    (root / f"solutions/notebooks/{NOTEBOOK}.md").write_text("# Another part\n\n```python\nimport rlhf_course\n```\n")
    for step in steps_in_another_part():
        follow(root, step)
    return root


def steps_in_another_part() -> Iterator[Step]:
    """The guide's steps up to the build, with the new part in place of the first."""
    for step in steps():
        path = step.path.replace(DEFAULT_PART.name, PART).replace("04_sampling_and_rewards", NOTEBOOK)
        text = step.text.replace("--notebook 4", f"--part {PART} --notebook {NOTEBOOK}")
        if "holds the line" not in step.manner and not (text.startswith(".venv/bin/") and "new-exercise" not in text):
            yield Step(path, step.manner, text)
    yield Step("", "", ".venv/bin/rlhf-course build")


def grade(root: Path, *arguments: str) -> tuple[dict, str]:
    """The JSON of `rlhf-course grade` on one submission, and what the command printed."""
    printed = run(root, f".venv/bin/rlhf-course grade {' '.join(arguments)} --json results.json 2>&1")
    (submission,) = json.loads((root / "results.json").read_text())["submissions"]
    return submission, printed


@pytest.mark.slow
def test_another_part_is_built_checked_released_graded_and_nbgraded(root):
    listed = json.loads(run(root, ".venv/bin/rlhf-course exercises --json"))
    assert [(each["part"], each["file"]) for each in listed if each["name"] == NAME] == [(PART, f"{NAME}.py")]
    assert "NotImplementedError" in (root / f"notebooks/{PART}/{NAME}.py").read_text()
    assert f"%%exercise {NAME}" in (root / f"notebooks/{NOTEBOOK}.ipynb").read_text()

    is_checked(root)
    is_released(root)
    is_graded(root)
    is_nbgraded(root)
    has_similarity_report(root)


def is_checked(root: Path) -> None:
    workspace = root / "learner"
    shutil.copytree(root / "notebooks", workspace)
    program = f"from rlhf_course import check, hint, progress; check('{NAME}'); hint('{NAME}'); progress()"
    untouched = run(root, f'cd {workspace} && ../.venv/bin/python -c "{program}"')
    assert f"{NAME}: not attempted" in untouched and f"{len(EXERCISES) + 1} passed" in untouched
    shutil.copy(root / f"solutions/{PART}/{NAME}.py", workspace / PART)
    solved = run(root, f'cd {workspace} && ../.venv/bin/python -c "{program}"')
    assert f"{NAME}: passed" in solved
    recorded = json.loads((workspace / PART / ".progress.json").read_text())
    assert recorded["exercises"][NAME]["status"] == "passed" and recorded["hints"] == {NAME: 2}
    assert not (workspace / DEFAULT_PART.name / ".progress.json").exists()


def is_released(root: Path) -> None:
    run(root, f".venv/bin/rlhf-course release --part {PART} --bundle second.zip --gradescope gradescope.zip")
    run(root, ".venv/bin/rlhf-course release --bundle first.zip")
    second, first = (set(zipfile.ZipFile(root / name).namelist()) for name in ("second.zip", "first.zip"))
    own, others = {f"rlhf-course/notebooks/{PART}/{NAME}.py", f"rlhf-course/notebooks/{NOTEBOOK}.ipynb"}, "part1_rlhf"
    assert own <= second and not own & first
    assert f"rlhf-course/notebooks/{others}/get_logprobs.py" in first
    assert not any(f"/{others}/" in name for name in second) and not any(f"/{PART}/" in name for name in first)
    script = zipfile.ZipFile(root / "gradescope.zip").read("run_autograder").decode()
    assert script.rstrip().endswith(f'"$home" {PART}')


def is_graded(root: Path) -> None:
    first, printed = grade(root, "learner")
    assert f"also handed in, but not graded: {PART} (1)" in printed, "there are only stubs of the other parts"
    assert not first["warnings"]
    assert list(first["exercises"]) == [exercise.name for exercise in DEFAULT_PART.exercises]
    second, _ = grade(root, "learner", "--part", PART)
    assert (second["score"], second["max_score"], list(second["exercises"])) == (POINTS, POINTS, [NAME])
    whole, _ = grade(root, "learner", "--part", "all")
    assert (whole["score"], whole["max_score"]) == (POINTS, sum(part.points for part in PARTS) + POINTS)


def is_nbgraded(root: Path) -> None:
    run(root, f".venv/bin/rlhf-course new-course course --part {PART}")
    nbgrader = "cd course && ../.venv/bin/nbgrader"
    run(root, f"{nbgrader} generate_assignment {PART}")
    for learner in ("ada", "ben"):
        shutil.copytree(root / "course/release" / PART, root / "course/submitted" / learner / PART)
    shutil.copy(root / f"solutions/{PART}/{NAME}.py", root / "course/submitted/ada" / PART / PART)
    run(root, f"{nbgrader} autograde {PART} --create && ../.venv/bin/nbgrader export --to grades.csv")
    rows = csv.DictReader(io.StringIO((root / "course/grades.csv").read_text()))
    scores = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in rows}
    assert scores == {"ada": (POINTS, POINTS), "ben": (0, POINTS)}


def has_similarity_report(root: Path) -> None:
    submitted = root / "course/submitted"
    printed = run(root, f".venv/bin/rlhf-course similarity {submitted} --part {PART} --html report")
    assert "among 2 submissions" in printed
