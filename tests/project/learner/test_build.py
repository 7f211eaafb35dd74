"""The build gives the same files every time, and names what differs from them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from learners import learner_environment

from rlhf_course.building.build import assignment_files, fingerprint
from rlhf_course.building.new_exercise import todo_lines
from rlhf_course.building.notebooks import CLEAR_SOLUTIONS, build_notebook, missing_outputs, source_notebook
from rlhf_course.building.outputs import show_finished_runs
from rlhf_course.building.stubs import cut_solutions
from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES, PARTS
from rlhf_course.errors import CourseError
from rlhf_course.paths import REPOSITORY
from rlhf_course.stubs import CODE_STUB

STUBS = {exercise.name: f"def {exercise.name}():\n    raise NotImplementedError\n" for exercise in EXERCISES}
SOURCES = sorted((REPOSITORY / "solutions/notebooks").glob("[0-9][0-9]_*.md"))
BUILT = sorted((REPOSITORY / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def run_build(root: Path, *flags: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **learner_environment(), "PYTHONPATH": str(root / "utils")}
    program = "from rlhf_course.cli import main; main()"
    command = [sys.executable, "-c", program, "build", "--root", str(root), *flags]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)


def copy_of_the_tree(target: Path) -> Path:
    """Copy what the build reads and writes, except for the sources of the notebooks and the models."""
    of_parts = [f"{folder}/{part.name}" for part in PARTS for folder in ("solutions", "notebooks")]
    for folder in (*of_parts, "tests/hidden", "utils/rlhf_course"):
        ignored = shutil.ignore_patterns("__pycache__", "models", ".*")
        shutil.copytree(REPOSITORY / folder, target / folder, ignore=ignored)
    return target


def only(root: Path, *names: str) -> None:
    """Cut the list of exercises down, so that a build takes seconds."""
    path = root / "utils/rlhf_course/course.py"
    lines = path.read_text().splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if not line.startswith("            Exercise(") or any(f'"{name}"' in line for name in names)
    ]
    path.write_text("".join(kept))


@pytest.fixture
def small_tree(tmp_path):
    root = copy_of_the_tree(tmp_path / "course")
    only(root, "normalize_reward", "reward_fn_char_count")
    return root


def test_solutions_are_cut_at_the_marks_and_indentation_is_kept():
    method, rest = "class A:\n    def f(self):\n", "\n    x = 2\n"
    text = f"{method}        ### BEGIN SOLUTION\n        return 1\n        ### END SOLUTION\n{rest}"
    assert cut_solutions(text, "a.py") == f"{method}        {CODE_STUB}\n{rest}"


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "### BEGIN SOLUTION\n",
        "### END SOLUTION\n",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION\n",
    ],
)
def test_marks_that_do_not_pair_up_are_refused(text):
    with pytest.raises(CourseError, match=r"a\.py"):
        cut_solutions(text, "a.py")


def test_stubs_compile_and_hold_no_mark():
    for exercise in EXERCISES:
        text = (REPOSITORY / "notebooks" / exercise.path).read_text()
        compile(text, exercise.file, "exec")
        assert "SOLUTION" not in text
        assert "raise NotImplementedError" in text


def markdown(tmp_path: Path, text: str) -> Path:
    (tmp_path / "outputs").mkdir(exist_ok=True)
    path = tmp_path / "06_objective.md"
    path.write_text(text)
    return path


CELLS = """# Title

```python exercise="calc_kl_penalty"
```

```python check="calc_kl_penalty"
check(calc_kl_penalty)
```

<!-- #region manual="brainstorm_periods" points=2 -->
Your ideas.

### BEGIN SOLUTION
Short sentences.
### END SOLUTION
<!-- #endregion -->

```python expected="table"
print(1)
```

```python expected="curve" alt="A curve that \\"rises\\"."
plot()
```
"""


def test_cells_are_filled_and_carry_nbgraders_metadata(tmp_path):
    source = markdown(tmp_path, CELLS.replace('\\"', ""))
    (tmp_path / "outputs/table.txt").write_text("1 2 3\n")
    (tmp_path / "outputs/curve.png").write_bytes(b"picture")
    notebook = nbformat.reads(build_notebook(source, STUBS), as_version=4)
    _, exercise, check, manual, table, curve = notebook.cells
    assert exercise.source == "%%exercise calc_kl_penalty\n" + STUBS["calc_kl_penalty"].rstrip()
    assert exercise.metadata.nbgrader == {
        "grade": False,
        "grade_id": "exercise-calc_kl_penalty",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    assert (check.metadata.nbgrader.grade, check.metadata.nbgrader.locked, check.metadata.nbgrader.points) == (
        True,
        True,
        8,
    )
    assert (manual.cell_type, manual.metadata.nbgrader.solution, manual.metadata.nbgrader.points) == (
        "markdown",
        True,
        2,
    )
    assert manual.source == "Your ideas.\n\n*Your answer here.*"
    assert "Expected output" in table.outputs[0].data["text/plain"]
    assert table.outputs[1].data["text/plain"] == "1 2 3"
    assert 'alt="A curve that rises."' in curve.outputs[1].data["text/html"]
    assert [cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code"] == [None] * 4
    assert build_notebook(source, STUBS) == build_notebook(source, STUBS)


def test_an_output_that_spoils_a_prediction_is_folded_and_keeps_its_text_for_paper(tmp_path):
    cell = '```python expected="curve" spoils="yes" alt="A <steep> rise."\nplot()\n```\n'
    source = markdown(tmp_path, cell)
    (tmp_path / "outputs/curve.png").write_bytes(b"picture")
    (tmp_path / "outputs/curve.txt").write_text("'<|endoftext|>This'\n")
    (cell,) = nbformat.reads(build_notebook(source, STUBS), as_version=4).cells
    (output,) = cell.outputs
    html = output.data["text/html"]
    assert html.startswith("<details><summary>Expected output") and 'alt="A &lt;steep&gt; rise."' in html
    assert "<pre>'&lt;|endoftext|&gt;This'</pre>" in html
    assert "'<|endoftext|>This'" in output.data["text/plain"]


def test_a_cells_id_stays_when_another_cell_comes(tmp_path):
    before = nbformat.reads(
        build_notebook(markdown(tmp_path, CELLS.replace(' alt="A curve that \\"rises\\"."', "")), STUBS), as_version=4
    )
    text = "New words.\n\n```python\n0\n```\n\n" + CELLS.replace(' alt="A curve that \\"rises\\"."', "")
    after = nbformat.reads(build_notebook(markdown(tmp_path, text), STUBS), as_version=4)
    assert {cell.id for cell in before.cells[1:]} < {cell.id for cell in after.cells}
    assert len({cell.id for cell in after.cells}) == len(after.cells)


def test_a_cell_of_no_exercise_is_refused(tmp_path):
    source = markdown(tmp_path, '```python exercise="calc_kl"\n```\n')
    with pytest.raises(CourseError, match="calc_kl"):
        build_notebook(source, STUBS)


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_a_built_notebook_is_valid_has_unique_grade_ids_and_only_marked_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.metadata.get("expected")
            assert "image/png" not in output.data or "<img alt=" in output.data["text/html"]
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell.source), "a picture without alternative text"
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_nbgrader_reads_a_built_notebook(path):
    from nbgrader.nbgraderformat import read

    for cell in read(path, as_version=4).cells:
        if grade := cell.metadata.get("nbgrader"):
            assert grade["schema_version"] == 3


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nbgrader_makes_of_a_source_notebook_what_the_build_makes(source):
    from nbgrader.preprocessors import ClearSolutions

    answers = {exercise.name: (REPOSITORY / "solutions" / exercise.path).read_text() for exercise in EXERCISES}
    solved = nbformat.reads(source_notebook(source, answers), as_version=4)
    graded = [cell for cell in solved.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert all("### BEGIN SOLUTION" in cell.source for cell in graded)
    cleared, _ = ClearSolutions(**CLEAR_SOLUTIONS).preprocess(solved, {})
    built = nbformat.read(REPOSITORY / "notebooks" / f"{source.stem}.ipynb", as_version=4)
    assert [(cell.source, cell.metadata) for cell in cleared.cells] == [
        (cell.source, cell.metadata) for cell in built.cells
    ]


def test_an_assignments_folder_holds_solutions_in_its_notebooks_alone():
    for part, notebook in zip(PARTS, ("06_objective", "13_dpo", "17_groups"), strict=True):
        files = {str(path): content.decode("utf-8") for path, content in assignment_files(REPOSITORY, part).items()}
        notebooks = {f"{source.stem}.ipynb" for source in SOURCES if part.has_notebook(source.stem)}
        assert notebooks == {path for path in files if path.endswith(".ipynb")}
        assert {exercise.path for exercise in part.exercises} < files.keys()
        assert not [path for path, text in files.items() if path.endswith(".py") and "SOLUTION" in text]
        assert "### BEGIN SOLUTION" in files[f"{notebook}.ipynb"]


def test_grade_ids_are_unique_over_the_course():
    ids = [
        cell["metadata"]["nbgrader"]["grade_id"]
        for path in BUILT
        for cell in json.loads(path.read_text())["cells"]
        if "nbgrader" in cell["metadata"]
    ]
    assert len(ids) == len(set(ids))


def test_every_exercise_is_taught_and_checked_in_its_notebook():
    for exercise in EXERCISES:
        cells = json.loads((REPOSITORY / "notebooks" / f"{exercise.notebook}.ipynb").read_text())["cells"]
        ids = [cell["metadata"]["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell["metadata"]]
        assert ids.index(f"exercise-{exercise.name}") < ids.index(f"check-{exercise.name}")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_no_line_of_a_skeleton_is_left_to_be_written(exercise):
    lines = todo_lines(REPOSITORY, exercise)
    assert not lines, "\n".join([f"{exercise.name}: these lines are still to be written", *lines])


def test_every_expected_output_is_there():
    assert {source.stem: missing for source in SOURCES if (missing := missing_outputs(source))} == {}


def test_outputs_can_be_made_of_runs_that_are_finished(tmp_path):
    wanted = ["collapse", "periods", "sentiment", "sentiment-neg"]
    of_part_1 = [path for path in BUILT if DEFAULT_PART.has_notebook(path.stem)]
    cells = [
        cell.source
        for path in of_part_1
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    ]
    with pytest.raises(CourseError, match="rlhf-course train --run collapse"):
        [show_finished_runs(cell, tmp_path) for cell in cells]
    for name in wanted:
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").touch()
    shown = "\n".join(show_finished_runs(cell, tmp_path) for cell in cells)
    assert re.findall(rf"dashboard\(folder='{tmp_path}/([\w-]+)'\)", shown) == wanted
    assert not re.search(r"""^[^#\n]*(dashboard|train_run)\(\"""", shown, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_built_files_are_as_a_fresh_build_makes_them():
    result = run_build(REPOSITORY, "--check")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_build_names_what_differs_and_puts_it_right(small_tree):
    assert run_build(small_tree, "--force").returncode == 0
    assert run_build(small_tree, "--check").returncode == 0
    stub = small_tree / "notebooks/part1_rlhf/normalize_reward.py"
    before = stub.read_bytes()
    stub.write_text("changed = 1\n")
    (small_tree / "notebooks/99_old.ipynb").write_text('{"cells": []}')
    result = run_build(small_tree, "--check")
    assert result.returncode == 1
    assert "notebooks/part1_rlhf/normalize_reward.py" in result.stdout
    assert "notebooks/99_old.ipynb" in result.stdout
    refused = run_build(small_tree)
    assert refused.returncode == 2
    assert "would overwrite work in" in refused.stderr
    assert run_build(small_tree, "--force").returncode == 0
    assert stub.read_bytes() == before
    assert not (small_tree / "notebooks/99_old.ipynb").exists()


@pytest.mark.slow
def test_a_second_build_tries_nothing_again_and_a_check_tries_everything(small_tree):
    assert run_build(small_tree, "--force").returncode == 0
    cached = next((small_tree / ".cache").rglob("normalize_reward-*.json"))
    cached.write_text(cached.read_text().replace("You", "They"))
    assert "1 of them written" in run_build(small_tree, "--force").stdout
    assert run_build(small_tree, "--check").returncode == 1


@pytest.mark.parametrize(
    "path",
    [
        "tests/hidden/part1_rlhf/normalize_reward.py",
        "utils/rlhf_course/checks/core.py",
        "solutions/part1_rlhf/trainer.py",
    ],
)
def test_what_data_is_made_from_changes_its_fingerprint(small_tree, path):
    exercise = BY_NAME["normalize_reward"]
    before = fingerprint(small_tree, exercise)
    (small_tree / path).write_text((small_tree / path).read_text() + "\n")
    assert fingerprint(small_tree, exercise) != before


@pytest.mark.slow
def test_two_mistakes_that_cannot_be_told_apart_stop_the_build(small_tree):
    bank = small_tree / "tests/hidden/part1_rlhf/normalize_reward.py"
    bank.write_text(
        bank.read_text()
        + '\n\n@visible_mistake\ndef again(reward, eps=1e-5):\n    """Twice."""\n    return reward.softmax(0)\n'
    )
    result = run_build(small_tree, "--check")
    assert result.returncode == 2
    assert "again and softmax of normalize_reward do the same" in result.stderr
