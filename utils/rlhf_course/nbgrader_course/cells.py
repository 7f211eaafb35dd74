"""Restore the cells of a submitted notebook to those in nbgrader's gradebook, with notes on the changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbgrader.utils import is_locked

from rlhf_course.nbgrader_course.notebook_file import CELL_MAKERS

_FLAGS = ("grade", "solution", "locked")


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


@dataclass(frozen=True)
class Release:
    """The cells of a notebook as learners got them: without hidden tests.

    Attributes:
        generated: When this text was last generated, in UTC as ISO 8601; empty if nobody recorded it.
        cells: The cells that nbgrader knows, in order.
    """

    generated: str
    cells: tuple[KnownCell, ...]


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


def restore(
    notebook: Any,
    known: Sequence[KnownCell],
    releases: Sequence[Release] = (),
    copies: Mapping[str, Any] | None = None,
) -> Restored:
    """Restore the released cells of a submitted notebook; learners' own cells and outputs stay.

    Args:
        notebook: The submitted notebook, which is changed in place.
        known: The cells to restore; their texts may hold hidden tests, which no release holds.
        releases: The cells as learners got them, the newest release first. Notes say what differs from the release
            that the notebook is most like. By default, learners got the known cells.
        copies: Other submitted notebooks that hold cells of this one, by name.
    """
    restored = Restored(notebook)
    by_name = {cell.name: cell for cell in known}
    release = _origin(notebook.cells, releases or [Release("", tuple(known))])
    origin = {cell.name: cell for cell in release.cells}
    if releases and release is not releases[0]:
        restored.notes.append(_earlier_release_note(release))
    chosen = _choose(notebook.cells, by_name, origin, restored)
    _note_order(notebook.cells, chosen, release.cells, restored)
    for name, cell in chosen.items():
        _reset(cell, by_name[name], origin.get(name, by_name[name]), restored)
    for cell in notebook.cells:
        if not any(cell is released for released in chosen.values()):
            _remove_metadata(cell, origin, restored)
    _insert_missing(notebook.cells, chosen, known, origin, restored)
    _use_answers_in_copies(notebook.cells, by_name, origin, copies or {}, restored)
    return restored


def grade_ids(cells: Iterable[Any]) -> set[str]:
    """Return the names that nbgrader's metadata gives to cells."""
    return {name for cell in cells if (name := _grade_id(cell)) is not None}


def _origin(cells: Iterable[Any], releases: Sequence[Release]) -> Release:
    """Return the release that a notebook is most like; of equally like ones, the newest."""
    submitted = _features(
        (_grade_id(cell), cell.source, cell.metadata.get("nbgrader", {}).get("points")) for cell in cells
    )

    def difference(release: Release) -> int:
        released = _features((cell.name, cell.source, cell.points) for cell in release.cells)
        return len(released - submitted) - len(released & submitted)

    return min(releases, key=difference)


def _features(cells: Iterable[tuple[str | None, str, Any]]) -> set[tuple[Any, ...]]:
    """Return what is compared of cells: the names, and with each name the text and the points."""
    return {
        feature
        for name, source, points in cells
        for feature in ((name,), (name, "source", source), (name, "points", str(points)))
    }


def _earlier_release_note(release: Release) -> str:
    generated = f", generated on {release.generated[:16].replace('T', ' at ')} UTC" if release.generated else ""
    return (
        f"This notebook was handed in from an earlier release of the assignment{generated}. "
        "Its cells are shown as in the newest release."
    )


def _choose(
    cells: Iterable[Any], by_name: Mapping[str, KnownCell], origin: Mapping[str, KnownCell], restored: Restored
) -> dict[str, Any]:
    """Return the submitted cell for each released cell; of several copies, the first one that the learner edited."""
    copies_by_name: dict[str, list[Any]] = {}
    for cell in cells:
        name = _grade_id(cell)
        if name is not None and name in by_name:
            copies_by_name.setdefault(name, []).append(cell)
    chosen = {}
    for name, copies in copies_by_name.items():
        known = by_name[name]
        edited = [cell for cell in copies if not _is_untouched(cell, known, origin)] if known.solution else copies
        chosen[name] = (edited or copies)[0]
        if len(copies) > 1:
            restored.notes.append(f"The notebook has {len(copies)} copies of the cell {name}; one of them counts.")
            if known.by_hand:
                restored.to_review.add(name)
    return chosen


def _is_untouched(cell: Any, known: KnownCell, origin: Mapping[str, KnownCell]) -> bool:
    return cell.source in (known.source, origin.get(known.name, known).source)


def _note_order(
    cells: Sequence[Any], chosen: dict[str, Any], released: Sequence[KnownCell], restored: Restored
) -> None:
    index_by_id = {id(cell): index for index, cell in enumerate(cells)}
    indices = [index_by_id[id(chosen[cell.name])] for cell in released if cell.name in chosen]
    if indices != sorted(indices):
        restored.notes.append("The cells are in another order than in the release.")


def _reset(cell: Any, known: KnownCell, released: KnownCell, restored: Restored) -> None:
    """Set the type and metadata of a cell to the known ones, and also its text if the cell is locked or untouched.

    Args:
        cell: The submitted cell.
        known: The cell to restore.
        released: The cell as the learner got it.
        restored: Where the notes on the learner's changes go.
    """
    submitted = cell.metadata.get("nbgrader", {})
    if cell.cell_type not in (known.cell_type, released.cell_type):
        restored.notes.append(
            f"The cell {known.name} was made a {cell.cell_type} cell; it is a {known.cell_type} cell again."
        )
    if cell.cell_type != known.cell_type:
        _change_type(cell, known.cell_type)
    if known.points is not None and submitted.get("points") not in (known.points, released.points):
        restored.notes.append(f"The points of the cell {known.name} were changed; they are {known.points:g} again.")
    metadata = known.metadata()
    flags = [{flag: marks.get(flag, False) for flag in _FLAGS} for marks in (submitted, metadata, released.metadata())]
    if flags[0] not in flags[1:]:
        restored.notes.append(f"The marks of the cell {known.name} were changed; they are as released again.")
    cell.metadata["nbgrader"] = nbformat.from_dict(metadata)
    is_untouched = cell.source in (known.source, released.source)
    if is_locked(cell) and not is_untouched:
        restored.notes.append(f"The text of the locked cell {known.name} was changed; it is as released again.")
    if is_locked(cell) or is_untouched:
        cell.source = known.source


def _remove_metadata(cell: Any, origin: Mapping[str, KnownCell], restored: Restored) -> None:
    """Remove nbgrader's metadata from a cell that is not to be restored."""
    metadata = cell.metadata.pop("nbgrader", None)
    if isinstance(metadata, dict) and metadata.get("grade") and isinstance(metadata.get("points"), int | float):
        restored.notes.append(
            "A cell that claims points is not part of the assignment, or is a copy; it gives no points."
            if metadata.get("grade_id") not in origin
            else f"A second cell {metadata['grade_id']}, or one that is not in the newest release, gives no points."
        )


def _insert_missing(
    cells: list[Any],
    chosen: dict[str, Any],
    known: Sequence[KnownCell],
    origin: Mapping[str, KnownCell],
    restored: Restored,
) -> None:
    """Insert each missing cell after the known cell that precedes it."""
    position = -1
    for released in known:
        if released.name in chosen:
            position = next(index for index, cell in enumerate(cells) if cell is chosen[released.name])
            continue
        cell = CELL_MAKERS[released.cell_type](released.source)
        cell.metadata["nbgrader"] = nbformat.from_dict(released.metadata())
        position += 1
        cells.insert(position, cell)
        restored.notes.append(
            f"The cell {released.name} was missing; it is put back as released."
            if released.name in origin
            else f"The cell {released.name} is new in the newest release; it is added."
        )
        if released.by_hand:
            restored.to_review.add(released.name)


def _use_answers_in_copies(
    cells: Iterable[Any],
    by_name: Mapping[str, KnownCell],
    origin: Mapping[str, KnownCell],
    copies: Mapping[str, Any],
    restored: Restored,
) -> None:
    """Take the written answers that the notebook lacks from its copies, and note where a copy holds another one."""
    for answer in cells:
        known = by_name.get(_grade_id(answer) or "")
        if known is None or not known.by_hand:
            continue
        for file, copy in copies.items():
            for cell in copy.cells:
                if _grade_id(cell) != known.name or _is_untouched(cell, known, origin) or cell.source == answer.source:
                    continue
                is_used = _is_untouched(answer, known, origin)
                answer.source = cell.source if is_used else answer.source
                restored.notes.append(
                    f"The answer in the cell {known.name} is from {file}."
                    if is_used
                    else f"{file} holds another answer for the cell {known.name}."
                )
                restored.to_review.add(known.name)


def _grade_id(cell: Any) -> str | None:
    metadata = cell.metadata.get("nbgrader")
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _change_type(cell: Any, cell_type: str) -> None:
    fresh = CELL_MAKERS[cell_type](cell.source, metadata=cell.metadata)
    fresh["id"] = cell.get("id", fresh["id"])
    cell.clear()
    cell.update(fresh)
