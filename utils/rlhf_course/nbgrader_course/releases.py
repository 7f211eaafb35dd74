"""Record the cells of each generated release, so that a submitted notebook is compared with what its learner got."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.utils import is_grade, is_locked, is_solution, is_task

from rlhf_course.files import write_text
from rlhf_course.nbgrader_course.cells import KnownCell, Release


def record_releases(state: Path, assignment: str, folder: Path) -> None:
    """Record the notebooks of a release; a text that was recorded before only gets a new time.

    Args:
        state: The course's state folder.
        assignment: The name of the assignment.
        folder: The folder of the release.
    """
    for path in folder.glob("*.ipynb"):
        cells = [asdict(cell) for cell in _released_cells(path)]
        name = hashlib.sha256(json.dumps(cells).encode()).hexdigest()
        record = {"generated": datetime.now(UTC).isoformat(timespec="microseconds"), "cells": cells}
        file = _records(state, assignment, path.stem) / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(record, indent=1))


def read_releases(state: Path, assignment: str, notebook: str, folder: Path) -> list[Release]:
    """Return the releases of a notebook, the newest first.

    Args:
        state: The course's state folder.
        assignment: The name of the assignment.
        notebook: The name of the notebook.
        folder: The folder of the release, which is read if there is no record.
    """
    records = [json.loads(path.read_text("utf-8")) for path in _records(state, assignment, notebook).glob("*.json")]
    releases = [
        Release(record["generated"], tuple(KnownCell(**cell) for cell in record["cells"])) for record in records
    ]
    released = folder / f"{notebook}.ipynb"
    if not releases and released.is_file():
        return [Release("", tuple(_released_cells(released)))]
    return sorted(releases, key=lambda release: release.generated, reverse=True)


def _records(state: Path, assignment: str, notebook: str) -> Path:
    return state / "releases" / assignment / notebook


def _released_cells(path: Path) -> Iterator[KnownCell]:
    for cell in nbformat.read(path, as_version=4).cells:
        if is_grade(cell) or is_solution(cell) or is_locked(cell) or is_task(cell):
            yield _known_cell(cell)


def _known_cell(cell: Any) -> KnownCell:
    marks = cell.metadata["nbgrader"]
    return KnownCell(
        marks["grade_id"],
        cell.cell_type,
        cell.source,
        is_locked(cell),
        is_solution(cell),
        float(marks["points"]) if is_grade(cell) or is_task(cell) else None,
        marks.get("checksum"),
        is_task(cell),
    )
