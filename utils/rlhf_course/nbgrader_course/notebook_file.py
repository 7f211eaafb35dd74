"""Read learners' notebook files, in a process with limits, and repair what does not fit the format."""

import json
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from rlhf_course.grading.submissions.limited_process import LimitedProcess, ReadingFailed

CELL_MAKERS = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
# The largest number of values in a notebook, where each key and each line of a list counts.
_MAX_VALUES = 1_000_000


def read_notebook(path: str, process: LimitedProcess) -> tuple[Any, str | None]:
    """Read as much of a notebook file as possible.

    Args:
        path: The file.
        process: The process that reads it.

    Returns:
        A valid notebook, which is empty if nothing could be read; and a message on the problem with the file, or None.
    """
    try:
        notebook, problem = process.call(f"{__name__}:notebook_as_json", path)
        return nbformat.from_dict(notebook), problem
    except ReadingFailed as error:
        return nbformat.v4.new_notebook(), _problem(str(error))
    except (TypeError, ValueError, RecursionError) as error:
        return nbformat.v4.new_notebook(), _problem(f"is damaged: {type(error).__name__}")


def notebook_as_json(path: str) -> tuple[Any, str | None]:
    """Return a notebook file as a valid notebook, and a message on the problem with the file; in the process."""
    try:
        with open(path, encoding="utf-8") as file:
            read = nbformat.read(file, as_version=4)
    except FileNotFoundError:
        return nbformat.v4.new_notebook(), "This notebook was not handed in."
    except MemoryError:
        raise
    except (Exception, RecursionError) as error:  # a learner's file may make the parser raise anything
        return nbformat.v4.new_notebook(), _problem(f"could not be read ({type(error).__name__})")
    if _has_too_many_values(read):
        return nbformat.v4.new_notebook(), _problem(f"holds more than {_MAX_VALUES} values")
    read = _without_surrogates(read)
    return (read if _is_valid_notebook(read) else _repaired(read)), None


def _without_surrogates(notebook: Any) -> Any:
    """Replace lone surrogates, which JSON can contain but no UTF-8 file can."""
    text = json.dumps(notebook, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return nbformat.from_dict(json.loads(text.encode("utf-8", "replace")))
    return notebook


def _problem(reason: str) -> str:
    return f"This notebook {reason}; the file as handed in is in submitted/."


def _has_too_many_values(value: Any) -> bool:
    count, values = 0, [value]
    while values:
        inner = values.pop()
        if isinstance(inner, dict | list):
            count += len(inner)
            if count > _MAX_VALUES:
                return True
            values += inner.values() if isinstance(inner, dict) else inner
    return False


def _is_valid_notebook(notebook: Any) -> bool:
    """Return whether a notebook is valid, and nbgrader's metadata of each cell is a dictionary."""
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        return False
    try:
        nbformat.validate(notebook)
    except (nbformat.ValidationError, TypeError, KeyError, AttributeError):
        return False
    return all(isinstance(cell.metadata.get("nbgrader", {}), dict) for cell in notebook.cells)


def _repaired(read: Any) -> Any:
    """Return a valid notebook with as much as possible of a notebook that is damaged or has an older format."""
    cells = read.get("cells") if isinstance(read, dict) else None
    kept = [_repaired_cell(cell) for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    metadata = read.get("metadata") if isinstance(read, dict) else None
    notebook = nbformat.v4.new_notebook(cells=kept, metadata=metadata if isinstance(metadata, dict) else {})
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError:
        notebook.metadata = nbformat.from_dict({})
    return notebook


def _repaired_cell(cell: Any) -> Any:
    """Return a valid cell with as much as possible of a damaged cell."""
    kind = cell.get("cell_type")
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata")
    repaired = CELL_MAKERS.get(kind, new_raw_cell)(source, metadata=metadata if isinstance(metadata, dict) else {})
    if not _is_valid(repaired):
        nbgrader = repaired.metadata.get("nbgrader")
        repaired.metadata = nbformat.from_dict({"nbgrader": nbgrader} if isinstance(nbgrader, dict) else {})
    if "nbgrader" in repaired.metadata and not isinstance(repaired.metadata["nbgrader"], dict):
        del repaired.metadata["nbgrader"]
    if kind == "code":
        outputs = cell.get("outputs")
        repaired.outputs = (
            [output for output in outputs if _is_valid_output(output)] if isinstance(outputs, list) else []
        )
        count = cell.get("execution_count")
        repaired.execution_count = count if isinstance(count, int) and count >= 0 else None
    elif isinstance(attachments := cell.get("attachments"), dict):
        repaired.attachments = attachments
        if not _is_valid(repaired):
            del repaired["attachments"]
    return repaired


def _is_valid(cell: Any) -> bool:
    return _conforms(cell, f"{cell.cell_type}_cell")


def _is_valid_output(output: Any) -> bool:
    return isinstance(output, dict) and _conforms(output, "output")


def _conforms(node: Any, ref: str) -> bool:
    try:
        nbformat.validate(node, ref=ref, version=4, version_minor=5)
    except (nbformat.ValidationError, TypeError, KeyError, AttributeError):
        return False
    return True
