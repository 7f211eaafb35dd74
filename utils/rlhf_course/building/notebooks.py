"""Convert the notebooks' sources in jupytext Markdown to the `.ipynb` files that learners open."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat.v4 import new_output

from rlhf_course.building.stubs import TEXT_STUB, cut_solutions
from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.stubs import CODE_STUB

_KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_EXPECTED = "Expected output, from a real run; yours may differ in detail."
# With these options, nbgrader's `ClearSolutions` cuts the same text from a `source_notebook` as `build_notebook` does.
CLEAR_SOLUTIONS = {"code_stub": {"python": CODE_STUB}, "text_stub": TEXT_STUB}


def build_notebook(source: Path, stubs: dict[str, str]) -> str:
    """Return the text of the `.ipynb` file that a source describes.

    The build interprets these metadata of a cell:

    - `exercise`: the cell is filled with the stub of that exercise.
    - `check`: nbgrader gives the cell the points of that exercise.
    - `manual` and `points`: a person grades the cell; its model answer is cut.
    - `expected` and `alt`: the cell shows an output from the folder `outputs/` beside the source, with this alternative
      text; with `spoils` the output is folded.

    Args:
        source: The jupytext Markdown file.
        stubs: The stubs by exercise.

    Raises:
        CourseError: A cell names an unknown exercise, or shows a picture without alternative text.
    """
    return _convert(source, stubs, solved=False)


def source_notebook(source: Path, answers: dict[str, str]) -> str:
    """Return the notebook for `nbgrader generate_assignment`: as `build_notebook` makes it, but with its solutions.

    Cells of exercises hold the answers, and cells that a person grades hold a model answer, between the marks of
    `building.stubs`. The preprocessor `ClearSolutions` of nbgrader cuts the same text when it gets the options
    `CLEAR_SOLUTIONS`; with nbgrader's own stub, `is_stub` would not recognise an untouched exercise. Leave out the
    preprocessor `ClearOutput`, which would delete the expected outputs.

    Args:
        source: The jupytext Markdown file.
        answers: The text of each answer's file, with its marks, by exercise.

    Raises:
        CourseError: A cell names an unknown exercise, or shows a picture without alternative text.
    """
    return _convert(source, answers, solved=True)


def _convert(source: Path, texts: dict[str, str], solved: bool) -> str:
    id_counts: dict[str, int] = {}
    parsed = jupytext.read(source, fmt="md")
    cells = [_cell(cell, source, texts, id_counts, solved) for cell in parsed.cells if cell.cell_type != "raw"]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=_KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def notebook_sources(root: Path) -> list[Path]:
    """Return the sources of the notebooks of all parts, in the order of the series."""
    return sorted((root / "solutions/notebooks").glob("[0-9][0-9]_*.md"))


def exercises_in(source: Path) -> list[str]:
    """Return the names of the exercises whose cells a notebook's source holds."""
    return [cell.metadata["exercise"] for cell in jupytext.read(source, fmt="md").cells if "exercise" in cell.metadata]


def _cell(cell: Any, source: Path, texts: dict[str, str], id_counts: dict[str, int], solved: bool) -> Any:
    options = dict(cell.metadata)
    text = cell.source
    metadata: dict[str, Any] = {}
    outputs: list[Any] = []
    if "exercise" in options:
        name = _exercise(options["exercise"], source)
        if text.strip():
            raise CourseError(f"{source.name}: the build fills the cell of {name}: leave it empty in the source")
        text = f"%%exercise {name}\n{texts[name].rstrip()}"
        if name in BY_NAME:
            metadata["nbgrader"] = _nbgrader(f"exercise-{name}", solution=True)
    elif "check" in options:
        name = _exercise(options["check"], source)
        metadata["nbgrader"] = _nbgrader(f"check-{name}", grade=True, locked=True, points=BY_NAME[name].points)
        metadata |= {"deletable": False, "editable": False}
    elif "manual" in options:
        unsolved = cut_solutions(text, f"{source.name}, {options['manual']}", TEXT_STUB).rstrip()
        text = text if solved else unsolved
        points = int(options.get("points", 1))
        metadata["nbgrader"] = _nbgrader(options["manual"], grade=True, solution=True, points=points)
    elif "expected" in options:
        outputs = _expected(source, options["expected"], options.get("alt", ""))
        outputs = _folded(outputs) if "spoils" in options else outputs
    if tags := options.get("tags"):
        metadata["tags"] = tags
    cell_id = _cell_id(source.stem, cell.cell_type, text, id_counts)
    if cell.cell_type == "markdown":
        return nbformat.v4.new_markdown_cell(text, id=cell_id, metadata=metadata)
    return nbformat.v4.new_code_cell(text, id=cell_id, metadata=metadata, outputs=outputs)


def _exercise(name: str, source: Path) -> str:
    if name not in BY_NAME:
        raise CourseError(
            f"{source.name}: a cell names the exercise {name!r}, which the list of exercises does not hold"
        )
    return name


def _nbgrader(
    grade_id: str, grade: bool = False, solution: bool = False, locked: bool = False, points: float | None = None
) -> dict[str, Any]:
    metadata = {
        "grade": grade,
        "grade_id": grade_id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return metadata if points is None else {**metadata, "points": points}


def _cell_id(stem: str, kind: str, text: str, counts: dict[str, int]) -> str:
    """Return an id that depends on the cell's text and on earlier equal cells, but not on other cells."""
    key = hashlib.sha256(f"{stem}\0{kind}\0{text}".encode()).hexdigest()[:12]
    counts[key] = counts.get(key, 0) + 1
    return key if counts[key] == 1 else f"{key}-{counts[key]}"


def _expected(source: Path, name: str, alt: str) -> list[Any]:
    """Return the stored outputs of a cell, below a note that they are expected ones; [] if none are stored."""
    folder = source.parent / "outputs"
    outputs = []
    if (text := folder / f"{name}.txt").is_file():
        outputs.append(_output({"text/plain": text.read_text().rstrip("\n")}))
    if (html := folder / f"{name}.html").is_file():
        plain = alt or "(a table, in HTML)"
        outputs.append(_output({"text/html": html.read_text(), "text/plain": plain}))
    if (picture := folder / f"{name}.png").is_file():
        if not alt:
            raise CourseError(f'{source.name}: the cell with expected="{name}" shows a picture and needs alt="…"')
        data = base64.b64encode(picture.read_bytes()).decode()
        outputs.append(
            _output(
                {"text/html": f'<img alt="{_attribute(alt)}" src="data:image/png;base64,{data}"/>', "text/plain": alt}
            )
        )
    return [_output({"text/plain": _EXPECTED}), *outputs] if outputs else []


def _folded(outputs: list[Any]) -> list[Any]:
    """Return outputs inside one `<details>` element, so that a learner can predict before opening them."""
    if not outputs:
        return []
    shown = []
    for output in outputs[1:]:
        data = output["data"]
        shown.append(data["text/html"] if "text/html" in data else f"<pre>{_escaped(data['text/plain'])}</pre>")
    plain = "\n".join(output["data"]["text/plain"] for output in outputs)
    summary = f"<summary>{_EXPECTED} Open it when you have predicted.</summary>"
    return [_output({"text/html": f"<details>{summary}{''.join(shown)}</details>", "text/plain": plain})]


def missing_outputs(source: Path) -> list[str]:
    """Return the names of expected outputs that are not stored yet; `rlhf-course build --outputs` stores them."""
    names = [cell.metadata["expected"] for cell in jupytext.read(source, fmt="md").cells if "expected" in cell.metadata]
    folder = source.parent / "outputs"
    return [name for name in names if not any((folder / f"{name}.{kind}").is_file() for kind in ("txt", "html", "png"))]


def _output(data: dict[str, str]) -> Any:
    return new_output("display_data", data=data, metadata={"expected": True})


def _attribute(text: str) -> str:
    return _escaped(text).replace('"', "&quot;")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
