"""Run a notebook with the reference answers, and store the outputs that learners see as expected outputs."""

import base64
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from rlhf_course.building.notebooks import build_notebook
from rlhf_course.course import EXERCISES, PARTS
from rlhf_course.errors import CourseError

_CALL = re.compile(r"""^(?P<before>[^#\n]*)(?P<function>dashboard|train_run)\("(?P<run>\w+)"[^\n]*\)$""", re.MULTILINE)


def make_outputs(root: Path, stem: str, runs: Path | None = None, timeout: int = 7200) -> list[Path]:
    """Run a notebook with the reference answers, and store the outputs of the cells with `expected`.

    Args:
        root: The repository.
        stem: The notebook's file name without its ending, such as "06_objective".
        runs: A folder of finished runs that the notebook shows instead of training: `collapse`, `periods`,
            `sentiment`, `sentiment-neg`.
        timeout: The number of seconds that a cell may take.

    Returns:
        The paths of the written files, in `solutions/notebooks/outputs/`.

    Raises:
        CourseError: There is no such notebook, or `runs` lacks a run.
    """
    source = root / "solutions/notebooks" / f"{stem}.md"
    if not source.is_file():
        raise CourseError(f"{source.relative_to(root)} does not exist: name a notebook such as 06_objective")
    with tempfile.TemporaryDirectory() as workspace:
        for part in PARTS:
            shutil.copytree(
                root / "solutions" / part.name,
                Path(workspace) / part.name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        notebook = nbformat.reads(build_notebook(source, _answers(root)), as_version=4)
        if runs is not None:
            for cell in notebook.cells:
                cell.source = show_finished_runs(cell.source, runs.resolve())
        NotebookClient(
            notebook, timeout=timeout, startup_timeout=600, resources={"metadata": {"path": workspace}}
        ).execute(env=dict(os.environ))
    folder = source.parent / "outputs"
    folder.mkdir(exist_ok=True)
    executed = [cell for cell in notebook.cells if cell.cell_type != "raw"]
    described = [cell for cell in jupytext.read(source, fmt="md").cells if cell.cell_type != "raw"]
    written = []
    for cell, source_cell in zip(executed, described, strict=True):
        if name := source_cell.metadata.get("expected"):
            written += _store_outputs(folder, name, cell.outputs)
    return written


def show_finished_runs(text: str, runs: Path) -> str:
    """Return the text of a cell, in which calls that would train are replaced by calls that show a finished run.

    Args:
        text: The cell's text.
        runs: The folder of the runs.

    Raises:
        CourseError: The folder lacks a run.
    """
    return _CALL.sub(lambda call: _call_with_folder(call, runs), text)


def _call_with_folder(call: re.Match[str], runs: Path) -> str:
    path = runs / (call["run"] + ("-neg" if '"neg"' in call[0] else ""))
    if not (path / "metrics.csv").is_file():
        raise CourseError(f"{path} holds no run: make it with `rlhf-course train --run {call['run']} --out {path}`")
    dashboard = f"dashboard(folder={str(path)!r})"
    return call["before"] + (
        dashboard if call["function"] == "dashboard" else f"await __import__('rlhf_course').{dashboard}.finished()"
    )


def _answers(root: Path) -> dict[str, str]:
    """Return the text of each answer's file, by exercise."""
    return {exercise.name: (root / "solutions" / exercise.path).read_text() for exercise in EXERCISES}


def _store_outputs(folder: Path, name: str, outputs: list[Any]) -> list[Path]:
    """Write the outputs of a cell to files of one name, and return their paths.

    The `.txt` file holds the cell's printed text, the `.html` file its tables and the pictures of its widgets, and the
    `.png` file its last picture.
    """
    text, html, picture = "", "", None
    for output in outputs:
        data = output.get("data", {})
        if output.output_type == "stream" and output.name == "stdout":
            text += output.text
        elif "image/png" in data:
            picture = base64.b64decode(data["image/png"])
        elif "text/html" in data and ("<table" in data["text/html"] or "rlhf-kept" in data["text/html"]):
            html += data["text/html"]
        elif "application/vnd.jupyter.widget-view+json" in data:
            continue  # the picture of a widget is another output
        elif "text/plain" in data:
            text += data["text/plain"] + "\n"
    contents = {"txt": text.encode(), "html": html.encode(), "png": picture or b""}
    written = []
    for kind, content in contents.items():
        if content.strip():
            path = folder / f"{name}.{kind}"
            path.write_bytes(content)
            written.append(path)
    return written
