"""Restore the cells of a submitted notebook to those in nbgrader's gradebook, with notes on the changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbgrader.utils import is_locked

from rlhf_course.nbgrader_course.notebook_file import CELL_MAKERS


@dataclass(frozen=True)
class KnownCell:
    """A released cell, as the gradebook records it.

    Attributes:
        name: The cell's `grade_id`.
        cell_type: "code", "markdown" or "raw".
        source: The cell's text.
        locked: Whether learners must not change the text.
        solution: Whether the learner writes in the cell.
        points: The points of the cell; None if it is not graded.
        checksum: The checksum of the released cell, if the gradebook has one.
        task: Whether the cell sets a task that is answered in other cells.
    """

    name: str
    cell_type: str
    source: str
    locked: bool
    solution: bool
    points: float | None = None
    checksum: str | None = None
    task: bool = False

    @property
    def graded(self) -> bool:
        """Whether the cell is graded by its own text or output."""
        return self.points is not None and not self.task

    @property
    def by_hand(self) -> bool:
        """Whether a person grades the learner's text in the cell."""
        return self.graded and self.solution

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that nbgrader needs on the cell."""
        flags = {"grade": self.graded, "solution": self.solution, "locked": self.locked, "task": self.task}
        metadata = {"grade_id": self.name, "schema_version": 3, "cell_type": self.cell_type, **flags}
        if self.points is not None:
            metadata["points"] = self.points
        return metadata if self.checksum is None else {**metadata, "checksum": self.checksum}


@dataclass
class Restored:
    """A notebook that holds each released cell once.

    Attributes:
        notebook: The notebook.
        notes: Messages on the changes, for the learner and the instructor.
        to_review: The names of cells graded by hand whose answer may be elsewhere in the submitted notebook.
    """

    notebook: Any
    notes: list[str] = field(default_factory=list)
    to_review: set[str] = field(default_factory=set)


def known_cells(notebook: Any) -> list[KnownCell]:
    """Return the released cells of a notebook in nbgrader's gradebook, in order."""
    points = {cell.name: float(cell.max_score) for cell in (*notebook.grade_cells, *notebook.task_cells)}
    solutions, tasks = ({cell.name for cell in cells} for cells in (notebook.solution_cells, notebook.task_cells))
    return [
        KnownCell(
            cell.name,
            cell.cell_type,
            cell.source,
            cell.locked,
            cell.name in solutions,
            points.get(cell.name),
            cell.checksum,
            cell.name in tasks,
        )
        for cell in notebook.source_cells
    ]


def restore(notebook: Any, known: Sequence[KnownCell]) -> Restored:
    """Restore the released cells of a submitted notebook; learners' own cells and outputs stay.

    Args:
        notebook: The submitted notebook, which is changed in place.
        known: The cells of the release.
    """
    restored = Restored(notebook)
    by_name = {cell.name: cell for cell in known}
    chosen = _choose(notebook.cells, by_name, restored)
    _note_order(notebook.cells, chosen, known, restored)
    for name, cell in chosen.items():
        _reset(cell, by_name[name], restored)
    for cell in notebook.cells:
        if not any(cell is released for released in chosen.values()):
            _remove_metadata(cell, restored)
    _insert_missing(notebook.cells, chosen, known, restored)
    return restored


def _choose(cells: Iterable[Any], by_name: dict[str, KnownCell], restored: Restored) -> dict[str, Any]:
    """Return the submitted cell for each released cell; of several copies, the first one that the learner edited."""
    copies_by_name: dict[str, list[Any]] = {}
    for cell in cells:
        name = _grade_id(cell)
        if name in by_name:
            copies_by_name.setdefault(name, []).append(cell)
    chosen = {}
    for name, copies in copies_by_name.items():
        edited = [cell for cell in copies if cell.source != by_name[name].source] if by_name[name].solution else copies
        chosen[name] = (edited or copies)[0]
        if len(copies) > 1:
            restored.notes.append(f"The notebook has {len(copies)} copies of the cell {name}; one of them counts.")
            if by_name[name].by_hand:
                restored.to_review.add(name)
    return chosen


def _note_order(cells: Sequence[Any], chosen: dict[str, Any], known: Sequence[KnownCell], restored: Restored) -> None:
    index_by_id = {id(cell): index for index, cell in enumerate(cells)}
    indices = [index_by_id[id(chosen[cell.name])] for cell in known if cell.name in chosen]
    if indices != sorted(indices):
        restored.notes.append("The cells are in another order than in the release.")


def _reset(cell: Any, known: KnownCell, restored: Restored) -> None:
    """Set the type and metadata of a cell to the released ones, and also its text if the cell is locked."""
    submitted = cell.metadata.get("nbgrader", {})
    if cell.cell_type != known.cell_type:
        restored.notes.append(
            f"The cell {known.name} was made a {cell.cell_type} cell; it is a {known.cell_type} cell again."
        )
        _change_type(cell, known.cell_type)
    if known.points is not None and submitted.get("points") != known.points:
        restored.notes.append(f"The points of the cell {known.name} were changed; they are {known.points:g} again.")
    metadata = known.metadata()
    if any(submitted.get(flag, False) != metadata[flag] for flag in ("grade", "solution", "locked")):
        restored.notes.append(f"The marks of the cell {known.name} were changed; they are as released again.")
    cell.metadata["nbgrader"] = nbformat.from_dict(metadata)
    if is_locked(cell) and cell.source != known.source:
        restored.notes.append(f"The text of the locked cell {known.name} was changed; it is as released again.")
        cell.source = known.source


def _remove_metadata(cell: Any, restored: Restored) -> None:
    """Remove nbgrader's metadata from a cell that was not released."""
    metadata = cell.metadata.pop("nbgrader", None)
    if isinstance(metadata, dict) and metadata.get("grade") and isinstance(metadata.get("points"), int | float):
        restored.notes.append(
            "A cell that claims points is not part of the assignment, or is a copy; it gives no points."
        )


def _insert_missing(cells: list[Any], chosen: dict[str, Any], known: Sequence[KnownCell], restored: Restored) -> None:
    """Insert each missing cell after the released cell that precedes it."""
    position = -1
    for released in known:
        if released.name in chosen:
            position = next(index for index, cell in enumerate(cells) if cell is chosen[released.name])
            continue
        cell = CELL_MAKERS[released.cell_type](released.source)
        cell.metadata["nbgrader"] = nbformat.from_dict(released.metadata())
        position += 1
        cells.insert(position, cell)
        restored.notes.append(f"The cell {released.name} was missing; it is put back as released.")
        if released.by_hand:
            restored.to_review.add(released.name)


def _grade_id(cell: Any) -> str | None:
    metadata = cell.metadata.get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _change_type(cell: Any, cell_type: str) -> None:
    fresh = CELL_MAKERS[cell_type](cell.source, metadata=cell.metadata)
    fresh["id"] = cell.get("id", fresh["id"])
    cell.clear()
    cell.update(fresh)
