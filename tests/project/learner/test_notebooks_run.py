"""Built notebooks in fresh kernels: with stubs, and with the reference answers."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from learners import NOTEBOOKS, SOLUTIONS, answer_text, learner_environment
from nbclient import NotebookClient

from rlhf_course.building.notebooks import build_notebook
from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES, PARTS

BUILT = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture
def workspace(tmp_path):
    """The learner's folder as it is handed out."""
    return handed_out(tmp_path)


def handed_out(folder: Path) -> Path:
    home = folder / "notebooks"
    shutil.copytree(NOTEBOOKS, home, ignore=shutil.ignore_patterns("__pycache__", ".*", "runs", "*.ipynb"))
    return home


def kernel_environment() -> dict[str, str]:
    environment = {**os.environ, **learner_environment(), "RLHF_COURSE_SHORT": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("RLHF_COURSE_WORKSPACE", None)
    return environment


def run(
    notebook: nbformat.NotebookNode, workspace: Path, environment: dict[str, str] | None = None
) -> nbformat.NotebookNode:
    environment = environment or kernel_environment()
    NotebookClient(
        notebook, timeout=1800, startup_timeout=600, resources={"metadata": {"path": str(workspace)}}
    ).execute(env=environment)
    return notebook


def text_of(cell: nbformat.NotebookNode) -> str:
    text = "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def checks_in(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What each check cell showed, by exercise."""
    shown = {}
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id.startswith("check-"):
            shown[grade_id.removeprefix("check-")] = text_of(cell)
    return shown


def assert_whole(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        assert "Traceback" not in (text_of(cell) if cell.cell_type == "code" else "")


SMALL = """
```python
import rlhf_course.notebook
from rlhf_course import check, progress
```

```python exercise="get_logprobs"
```

```python check="get_logprobs"
check(get_logprobs)
```

```python
progress()
```
"""


def small_notebook(tmp_path: Path) -> nbformat.NotebookNode:
    source = tmp_path / "06_objective.md"
    source.write_text(SMALL)
    stubs = {exercise.name: (NOTEBOOKS / exercise.path).read_text() for exercise in EXERCISES}
    return nbformat.reads(build_notebook(source, stubs), as_version=4)


def test_a_notebooks_kernel_knows_the_magic_and_shows_the_account_once(workspace, tmp_path):
    notebook = run(small_notebook(tmp_path), workspace)
    assert checks_in(notebook)["get_logprobs"].startswith("get_logprobs: not attempted")
    assert f"0 of {len(EXERCISES)} passed" in text_of(notebook.cells[-1])
    (exercise,) = [cell for cell in notebook.cells if cell.source.startswith("%%exercise")]
    exercise.source = "%%exercise get_logprobs\n" + answer_text("get_logprobs").rstrip()
    run(notebook, workspace)
    assert checks_in(notebook)["get_logprobs"].startswith("get_logprobs: passed")
    assert "<check of" not in checks_in(notebook)["get_logprobs"]
    (shown,) = (cell.outputs[0].data["text/html"] for cell in notebook.cells if cell.source.startswith("check("))
    assert "get_logprobs: passed" in shown and "pre-wrap" in shown  # long lines wrap on the page
    assert (workspace / DEFAULT_PART.name / "get_logprobs.py").read_text() == answer_text("get_logprobs")


class Executed(NamedTuple):
    """A built notebook after its run, and the workspace that it ran at."""

    notebook: nbformat.NotebookNode
    workspace: Path


@pytest.fixture(scope="session")
def executed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path, bool], Executed]]:
    """Run the notebooks of the selected tests, two at a time, since each has a kernel that uses one core."""
    asked = [item.callspec.params for item in request.session.items if "executed" in getattr(item, "fixturenames", ())]
    runs: dict[tuple[Path, bool], Future] = {}
    environment = kernel_environment()  # once, here: pytest changes this process's while the threads run
    with ThreadPoolExecutor(2) as pool:
        for params in asked:
            folder = tmp_path_factory.mktemp(params["path"].stem)
            runs[params["path"], params["solved"]] = pool.submit(
                execute, params["path"], params["solved"], handed_out(folder), environment
            )
        yield lambda path, solved: runs[path, solved].result()
        pool.shutdown(cancel_futures=True)


def execute(path: Path, solved: bool, workspace: Path, environment: dict[str, str]) -> Executed:
    notebook = nbformat.read(path, as_version=4)
    if solved:
        for part in PARTS:
            for answer in (SOLUTIONS / part.name).glob("*.py"):
                shutil.copy(answer, workspace / part.name)
    return Executed(run(notebook, workspace, environment), workspace)


@pytest.mark.slow
@pytest.mark.parametrize("solved", [False], ids=["stubs"])
@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_with_stubs_a_notebook_runs_to_its_end_and_every_check_says_not_attempted(executed, path, solved):
    notebook = executed(path, solved).notebook
    assert_whole(notebook)
    for name, shown in checks_in(notebook).items():
        assert f"{name}: not attempted" in shown


@pytest.mark.slow
@pytest.mark.parametrize("solved", [True], ids=["answers"])
@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_with_the_reference_answers_a_notebook_runs_to_its_end_and_every_check_passes(executed, path, solved):
    notebook, workspace = executed(path, solved)
    assert_whole(notebook)
    checks = checks_in(notebook)
    assert set(checks) == {exercise.name for exercise in EXERCISES if exercise.notebook == path.stem}
    for name, shown in checks.items():
        assert f"{name}: passed" in shown
        assert (workspace / BY_NAME[name].path).read_text() == answer_text(name)
    if path.stem == "08_training":
        configs = [json.loads(file.read_text()) for file in workspace.glob("runs/*/config.json")]
        assert configs and all(config["code"] == str(workspace.resolve()) for config in configs)
