"""A submitted notebook, brought back to the cells that nbgrader's gradebook knows; what was changed is noted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader.utils import is_locked

_MAKERS = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


@dataclass(frozen=True)
class KnownCell:
    """A cell as the gradebook knows it.

    Attributes:
        name: its grade_id.
        points: None where it is not graded.
        solution: whether the learner writes in it.
        task: whether it sets a task that is answered in other cells.
        checksum: of the released cell, where it was kept.
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
        """Whether it gives points for what it holds or shows itself."""
        return self.points is not None and not self.task

    @property
    def by_hand(self) -> bool:
        """Whether a person grades what the learner wrote in it."""
        return self.graded and self.solution

    def metadata(self) -> dict[str, Any]:
        """What nbgrader wants to find on it."""
        marks = {"grade": self.graded, "solution": self.solution, "locked": self.locked, "task": self.task}
        known = {"grade_id": self.name, "schema_version": 3, "cell_type": self.cell_type, **marks}
        if self.points is not None:
            known["points"] = self.points
        return known if self.checksum is None else {**known, "checksum": self.checksum}


@dataclass
class Restored:
    """A notebook that holds each known cell once.

    Attributes:
        notebook: it.
        notes: what a person should know about how it was handed in.
        to_review: cells graded by hand that a person should look for, although they look unanswered.
    """

    notebook: Any
    notes: list[str] = field(default_factory=list)
    to_review: set[str] = field(default_factory=set)


def known_cells(notebook: Any) -> list[KnownCell]:
    """The cells of a notebook of nbgrader's gradebook, in their order."""
    points = {cell.name: float(cell.max_score) for cell in (*notebook.grade_cells, *notebook.task_cells)}
    solutions, tasks = ({cell.name for cell in cells} for cells in (notebook.solution_cells, notebook.task_cells))
    return [
        KnownCell(
            one.name,
            one.cell_type,
            one.source,
            one.locked,
            one.name in solutions,
            points.get(one.name),
            one.checksum,
            one.name in tasks,
        )
        for one in notebook.source_cells
    ]


def read_notebook(path: str) -> tuple[Any, str | None]:
    """A notebook file as far as it can be read, and what was wrong with it.

    Whatever the file holds, the notebook that comes back is valid; it is empty where nothing could be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            read = nbformat.read(file, as_version=4)
    except FileNotFoundError:
        return nbformat.v4.new_notebook(), "This notebook was not handed in."
    except (Exception, RecursionError) as error:  # a learner's file can break a parser in any way
        return (
            nbformat.v4.new_notebook(),
            f"This notebook could not be read ({type(error).__name__}); the file as handed in is in submitted/.",
        )
    return (read if _is_sound(read) else _mended(read)), None


def _is_sound(notebook: Any) -> bool:
    """Whether a notebook is valid, and nbgrader's marks in it are at least objects."""
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        return False
    try:
        nbformat.validate(notebook)
    except (nbformat.ValidationError, TypeError, KeyError, AttributeError):
        return False
    return all(isinstance(cell.metadata.get("nbgrader", {}), dict) for cell in notebook.cells)


def _mended(read: Any) -> Any:
    """A valid notebook with as much of a damaged or older one as can be kept."""
    cells = read.get("cells") if isinstance(read, dict) else None
    kept = [_whole_cell(cell) for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    metadata = read.get("metadata") if isinstance(read, dict) else None
    notebook = nbformat.v4.new_notebook(cells=kept, metadata=metadata if isinstance(metadata, dict) else {})
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError:
        notebook.metadata = nbformat.from_dict({})
    return notebook


def restore(notebook: Any, known: Sequence[KnownCell]) -> Restored:
    """Bring a submitted notebook back to the cells that were released; learners' own cells and outputs stay.

    Args:
        notebook: as submitted; it is changed.
        known: the cells of the release.
    """
    done = Restored(notebook)
    by_name = {cell.name: cell for cell in known}
    chosen = _choose(notebook.cells, by_name, done)
    _note_the_order(notebook.cells, chosen, known, done)
    for name, cell in chosen.items():
        _reset(cell, by_name[name], done)
    for cell in notebook.cells:
        if not any(cell is one for one in chosen.values()):
            _disown(cell, done)
    _put_back(notebook.cells, chosen, known, done)
    return done


def _choose(cells: Iterable[Any], by_name: dict[str, KnownCell], done: Restored) -> dict[str, Any]:
    """The cell that stands for each known one; of copies, the first that the learner has written in."""
    found: dict[str, list[Any]] = {}
    for cell in cells:
        name = _grade_id(cell)
        if name in by_name:
            found.setdefault(name, []).append(cell)
    chosen = {}
    for name, copies in found.items():
        worked = [cell for cell in copies if cell.source != by_name[name].source] if by_name[name].solution else copies
        chosen[name] = (worked or copies)[0]
        if len(copies) > 1:
            done.notes.append(f"The cell {name} is there {len(copies)} times; one of them counts.")
            if by_name[name].by_hand:
                done.to_review.add(name)
    return chosen


def _note_the_order(cells: Sequence[Any], chosen: dict[str, Any], known: Sequence[KnownCell], done: Restored) -> None:
    place = {id(cell): index for index, cell in enumerate(cells)}
    places = [place[id(chosen[cell.name])] for cell in known if cell.name in chosen]
    if places != sorted(places):
        done.notes.append("The cells are in another order than in the release.")


def _reset(cell: Any, known: KnownCell, done: Restored) -> None:
    """Give a cell the type, metadata and, where it is locked, the text that it was released with."""
    given = cell.metadata.get("nbgrader", {})
    if cell.cell_type != known.cell_type:
        done.notes.append(
            f"The cell {known.name} was made a {cell.cell_type} cell; it is a {known.cell_type} cell again."
        )
        _change_type(cell, known.cell_type)
    if known.points is not None and given.get("points") != known.points:
        done.notes.append(f"The points of the cell {known.name} were changed; they are {known.points:g} again.")
    marks = known.metadata()
    if any(given.get(mark, False) != marks[mark] for mark in ("grade", "solution", "locked")):
        done.notes.append(f"The marks of the cell {known.name} were changed; they are as released again.")
    cell.metadata["nbgrader"] = nbformat.from_dict(marks)
    if is_locked(cell) and cell.source != known.source:
        done.notes.append(f"The text of the locked cell {known.name} was changed; it is as released again.")
        cell.source = known.source


def _disown(cell: Any, done: Restored) -> None:
    """Take nbgrader's marks from a cell that the release does not know."""
    marks = cell.metadata.pop("nbgrader", None)
    if isinstance(marks, dict) and marks.get("grade") and isinstance(marks.get("points"), int | float):
        done.notes.append("A cell that claims points is not part of the assignment, or is a copy; it counts nothing.")


def _put_back(cells: list[Any], chosen: dict[str, Any], known: Sequence[KnownCell], done: Restored) -> None:
    """Put each missing cell after the known cell that stood before it."""
    place = -1
    for one in known:
        if one.name in chosen:
            place = next(index for index, cell in enumerate(cells) if cell is chosen[one.name])
            continue
        cell = _MAKERS[one.cell_type](one.source)
        cell.metadata["nbgrader"] = nbformat.from_dict(one.metadata())
        place += 1
        cells.insert(place, cell)
        done.notes.append(f"The cell {one.name} was missing; it is put back as released.")
        if one.by_hand:
            done.to_review.add(one.name)


def _grade_id(cell: Any) -> str | None:
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else None


def _whole_cell(cell: Any) -> Any:
    """A cell that is valid, with as much of the given one as can be kept."""
    kind = cell.get("cell_type")
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    whole = _MAKERS.get(kind, new_raw_cell)(source, metadata=metadata if isinstance(metadata, dict) else {})
    if not _is_valid(whole):
        marks = whole.metadata.get("nbgrader")
        whole.metadata = nbformat.from_dict({"nbgrader": marks} if isinstance(marks, dict) else {})
    if "nbgrader" in whole.metadata and not isinstance(whole.metadata["nbgrader"], dict):
        del whole.metadata["nbgrader"]
    if kind == "code":
        outputs = cell.get("outputs")
        whole.outputs = [output for output in outputs if _is_valid_output(output)] if isinstance(outputs, list) else []
        count = cell.get("execution_count")
        whole.execution_count = count if isinstance(count, int) and count >= 0 else None
    elif isinstance(attachments := cell.get("attachments"), dict):
        whole.attachments = attachments
        if not _is_valid(whole):
            del whole["attachments"]
    return whole


def _is_valid(cell: Any) -> bool:
    return _passes(cell, f"{cell.cell_type}_cell")


def _is_valid_output(output: Any) -> bool:
    return isinstance(output, dict) and _passes(output, "output")


def _passes(node: Any, ref: str) -> bool:
    try:
        nbformat.validate(node, ref=ref, version=4, version_minor=5)
    except (nbformat.ValidationError, TypeError, KeyError, AttributeError):
        return False
    return True


def _change_type(cell: Any, cell_type: str) -> None:
    fresh = _MAKERS[cell_type](cell.source, metadata=cell.metadata)
    fresh["id"] = cell.get("id", fresh["id"])
    cell.clear()
    cell.update(fresh)
