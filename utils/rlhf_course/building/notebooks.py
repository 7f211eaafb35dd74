"""From a notebook's text to the notebook that learners open."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat.v4 import new_output

from rlhf_course.building.stubs import CODE_STUB, TEXT_STUB, cut_solutions
from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError

_KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_EXPECTED = "Expected output, from a real run; yours may differ in detail."
# With these options nbgrader cuts from a `source_notebook` what `build_notebook` cuts.
CLEAR_SOLUTIONS = {"code_stub": {"python": CODE_STUB}, "text_stub": TEXT_STUB}


def build_notebook(source: Path, stubs: dict[str, str]) -> str:
    """The notebook that a jupytext Markdown file describes, as the text of its `.ipynb`.

    Cells with these metadata are more than their text: `exercise` (the stub is put in), `check` (autograded),
    `manual` and `points` (graded by hand; the model answer is cut), `expected` and `alt` (an output kept beside the source, in
    `outputs/`), with `spoils` where it would give a prediction away.

    Args:
        source: the file.
        stubs: by exercise.

    Raises:
        CourseError: a cell names no exercise, or shows a picture without alternative text.
    """
    return _built(source, stubs, solved=False)


def source_notebook(source: Path, answers: dict[str, str]) -> str:
    """The notebook that an instructor hands to `nbgrader generate_assignment`: as `build_notebook` makes it, with its solutions.

    The exercises' cells hold the answers, and the cells that are graded by hand a model answer, between `### BEGIN SOLUTION` and
    `### END SOLUTION`. nbgrader cuts the same text from it, cell by cell, when its `ClearSolutions` preprocessor gets the
    options `CLEAR_SOLUTIONS`; its own stub would not be known as an untouched one. Its `ClearOutput` preprocessor would also
    take the outputs that teach: leave it out.

    Args:
        source: the jupytext Markdown file.
        answers: by exercise, the text of the answer's file with its marks.

    Raises:
        CourseError: as `build_notebook`.
    """
    return _built(source, answers, solved=True)


def _built(source: Path, texts: dict[str, str], solved: bool) -> str:
    seen: dict[str, int] = {}
    read = jupytext.read(source, fmt="md")
    cells = [_cell(cell, source, texts, seen, solved) for cell in read.cells if cell.cell_type != "raw"]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=_KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def exercises_in(source: Path) -> list[str]:
    """The exercises whose cells a notebook's text holds."""
    return [cell.metadata["exercise"] for cell in jupytext.read(source, fmt="md").cells if "exercise" in cell.metadata]


def _cell(cell: Any, source: Path, texts: dict[str, str], seen: dict[str, int], solved: bool) -> Any:
    asked = dict(cell.metadata)
    text, metadata, outputs = cell.source, {}, []
    if "exercise" in asked:
        name = _exercise(asked["exercise"], source)
        if text.strip():
            raise CourseError(f"{source.name}: the cell of {name} is filled by the build, and should be empty")
        text = f"%%exercise {name}\n{texts[name].rstrip()}"
        metadata["nbgrader"] = _nbgrader(f"exercise-{name}", solution=True)
    elif "check" in asked:
        name = _exercise(asked["check"], source)
        metadata["nbgrader"] = _nbgrader(f"check-{name}", grade=True, locked=True, points=BY_NAME[name].points)
        metadata |= {"deletable": False, "editable": False}
    elif "manual" in asked:
        unsolved = cut_solutions(text, f"{source.name}, {asked['manual']}", TEXT_STUB).rstrip()
        text = text if solved else unsolved
        metadata["nbgrader"] = _nbgrader(asked["manual"], grade=True, solution=True, points=int(asked.get("points", 1)))
    elif "expected" in asked:
        outputs = _expected(source, asked["expected"], asked.get("alt", ""))
        outputs = _folded(outputs) if "spoils" in asked else outputs
    if tags := asked.get("tags"):
        metadata["tags"] = tags
    cell_id = _cell_id(source.stem, cell.cell_type, text, seen)
    if cell.cell_type == "markdown":
        return nbformat.v4.new_markdown_cell(text, id=cell_id, metadata=metadata)
    return nbformat.v4.new_code_cell(text, id=cell_id, metadata=metadata, outputs=outputs)


def _exercise(name: str, source: Path) -> str:
    if name not in BY_NAME:
        raise CourseError(f"{source.name}: a cell names the exercise {name!r}, which is not in the list of exercises")
    return name


def _nbgrader(
    grade_id: str, grade: bool = False, solution: bool = False, locked: bool = False, points: int | None = None
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


def _cell_id(stem: str, kind: str, text: str, seen: dict[str, int]) -> str:
    """An id that stays as long as the cell's text does, whatever happens to its neighbours."""
    key = hashlib.sha256(f"{stem}\0{kind}\0{text}".encode()).hexdigest()[:12]
    seen[key] = seen.get(key, 0) + 1
    return key if seen[key] == 1 else f"{key}-{seen[key]}"


def _expected(source: Path, name: str, alt: str) -> list[Any]:
    """The stored outputs of a cell, each marked as expected."""
    home = source.parent / "outputs"
    outputs = [_output({"text/plain": _EXPECTED})]
    found = False
    if (text := home / f"{name}.txt").is_file():
        outputs.append(_output({"text/plain": text.read_text().rstrip("\n")}))
        found = True
    if (html := home / f"{name}.html").is_file():
        plain = alt or "(a table, in HTML)"
        outputs.append(_output({"text/html": html.read_text(), "text/plain": plain}))
        found = True
    if (picture := home / f"{name}.png").is_file():
        if not alt:
            raise CourseError(f'{source.name}: the cell with expected="{name}" shows a picture and needs alt="…"')
        data = base64.b64encode(picture.read_bytes()).decode()
        outputs.append(
            _output(
                {"text/html": f'<img alt="{_attribute(alt)}" src="data:image/png;base64,{data}"/>', "text/plain": alt}
            )
        )
        found = True
    return outputs if found else []


def _folded(outputs: list[Any]) -> list[Any]:
    """Outputs that would give away what is to be predicted, behind one line that opens them."""
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
    """The outputs that a notebook's cells expect and that no real run has left yet (`rlhf-course build --outputs`)."""
    names = [cell.metadata["expected"] for cell in jupytext.read(source, fmt="md").cells if "expected" in cell.metadata]
    home = source.parent / "outputs"
    return [name for name in names if not any((home / f"{name}.{kind}").is_file() for kind in ("txt", "html", "png"))]


def _output(data: dict[str, str]) -> Any:
    return new_output("display_data", data=data, metadata={"expected": True})


def _attribute(text: str) -> str:
    return _escaped(text).replace('"', "&quot;")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
