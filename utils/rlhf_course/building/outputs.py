"""Outputs that notebooks show as expected: taken from a real run of the notebook, with the reference answers."""

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

_CALL = re.compile(r"""^(?P<before>[^#\n]*)(?P<how>dashboard|train_run)\("(?P<run>\w+)"[^\n]*\)$""", re.MULTILINE)


def make_outputs(root: Path, stem: str, runs: Path | None = None, timeout: int = 7200) -> list[Path]:
    """Run a notebook with the reference answers, and keep the outputs of the cells that carry `expected`.

    Args:
        root: the repository.
        stem: the notebook's, e.g. "06_objective".
        runs: a folder of finished runs that the notebook shows in place of training: `collapse`, `periods`, `sentiment`,
            `sentiment-neg`.
        timeout: seconds that one cell may take.

    Returns: the files written, in `solutions/notebooks/outputs/`.

    Raises:
        CourseError: no such notebook, or no such run.
    """
    source = root / "solutions/notebooks" / f"{stem}.md"
    if not source.is_file():
        raise CourseError(f"{source.relative_to(root)} does not exist")
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
                cell.source = with_runs(cell.source, runs.resolve())
        NotebookClient(
            notebook, timeout=timeout, startup_timeout=600, resources={"metadata": {"path": workspace}}
        ).execute(env=dict(os.environ))
    home = source.parent / "outputs"
    home.mkdir(exist_ok=True)
    ran = [cell for cell in notebook.cells if cell.cell_type != "raw"]
    asked = [cell for cell in jupytext.read(source, fmt="md").cells if cell.cell_type != "raw"]
    written = []
    for cell, described in zip(ran, asked, strict=True):
        if name := described.metadata.get("expected"):
            written += _keep(home, name, cell.outputs)
    return written


def with_runs(text: str, runs: Path) -> str:
    """A cell's text, whose calls that would train show finished runs instead.

    Raises:
        CourseError: there is no such run.
    """
    return _CALL.sub(lambda call: _of_a_folder(call, runs), text)


def _of_a_folder(call: re.Match, runs: Path) -> str:
    path = runs / (call["run"] + ("-neg" if '"neg"' in call[0] else ""))
    if not (path / "metrics.csv").is_file():
        raise CourseError(f"{path} is not a run: make it with `rlhf-course train --run {call['run']} --out {path}`")
    board = f"dashboard(folder={str(path)!r})"
    return call["before"] + (
        board if call["how"] == "dashboard" else f"await __import__('rlhf_course').{board}.finished()"
    )


def _answers(root: Path) -> dict[str, str]:
    """The text of each exercise's answer, by the exercise's name."""
    return {exercise.name: (root / "solutions" / exercise.path).read_text() for exercise in EXERCISES}


def _keep(home: Path, name: str, outputs: list[Any]) -> list[Path]:
    """Write a cell's printed text, its tables and widgets' pictures in HTML and its last picture to files of one name."""
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
            continue  # its picture is an output of its own
        elif "text/plain" in data:
            text += data["text/plain"] + "\n"
    found = {"txt": text.encode(), "html": html.encode(), "png": picture or b""}
    written = []
    for kind, content in found.items():
        if content.strip():
            path = home / f"{name}.{kind}"
            path.write_bytes(content)
            written.append(path)
    return written
