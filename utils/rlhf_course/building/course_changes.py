"""Change built notebooks and files to a course's: its points, and the exercises that it leaves out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from rlhf_course.course import Exercise, Part, left_out_of
from rlhf_course.stubs import given_text

_CALLOUT = re.compile(r"> \*\*Exercise\*\* `(\w+)`")
_PREDICTION = "**Predict**"


def given_files(root: Path, left_out: Iterable[Exercise]) -> dict[Path, bytes]:
    """Return the files of exercises that are left out, by path: complete, since later exercises use them.

    Args:
        root: The repository.
        left_out: The exercises.
    """
    solutions = root / "solutions"
    return {
        Path(exercise.path): given_text((solutions / exercise.path).read_text(encoding="utf-8")).encode()
        for exercise in left_out
    }


def change_files(files: Mapping[Path, bytes], parts: Sequence[Part], root: Path) -> dict[Path, bytes]:
    """Return files for learners or of a source assignment as a course has them.

    Args:
        files: The files by path; exercises' files end with `Exercise.path`.
        parts: The parts with the course's points, and without the exercises that it leaves out.
        root: The repository.
    """
    points = {exercise.name: exercise.points for part in parts for exercise in part.exercises}
    left_out = [exercise for part in parts for exercise in left_out_of(part)]
    given = given_files(root, left_out)
    return {
        path: _changed_notebook(content, points, left_out)
        if path.suffix == ".ipynb"
        else given.get(Path(*path.parts[-2:]), content)
        for path, content in files.items()
    }


def _changed_notebook(content: bytes, points: Mapping[str, float], left_out: Sequence[Exercise]) -> bytes:
    notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
    if not change_notebook(notebook, points, left_out):
        return content
    return (nbformat.writes(notebook, version=4).rstrip("\n") + "\n").encode()


def change_notebook(notebook: Any, points: Mapping[str, float], left_out: Sequence[Exercise]) -> bool:
    """Set the points of checks, and leave exercises out of a notebook.

    The cell of an exercise that is left out imports its answer, since later cells use it. Its check and its
    instructions go; predictions and explanations stay.

    Args:
        notebook: The notebook, which is changed.
        points: The points by exercise.
        left_out: The exercises to leave out.

    Returns:
        Whether anything changed.
    """
    names = {exercise.name: exercise for exercise in left_out}
    before = nbformat.writes(notebook, version=4)
    cells, instructed = [], ""
    for cell in notebook.cells:
        kind, _, name = cell.metadata.get("nbgrader", {}).get("grade_id", "").partition("-")
        if cell.cell_type == "markdown" and names:
            cell.source, instructed = _without_instructions(cell.source, names, instructed)
            if not cell.source:
                continue
        elif kind == "check" and name in names:
            continue
        elif kind == "exercise" and name in names:
            cell.source = f"from {names[name].part} import {name}  # given, in {names[name].path}"
            cell.metadata.pop("nbgrader")
        elif kind == "check" and name in points:
            cell.metadata["nbgrader"]["points"] = points[name]
        cells.append(cell)
    notebook.cells = cells
    return nbformat.writes(notebook, version=4) != before


def _without_instructions(text: str, names: Mapping[str, Exercise], instructed: str) -> tuple[str, str]:
    """Return a Markdown text without the instructions of exercises, which end where their hint is named.

    Args:
        text: The text.
        names: The exercises that are left out, by name.
        instructed: The exercise whose instructions an earlier cell began; empty for none.

    Returns:
        The text, and the exercise whose instructions go on in the next cell.
    """
    kept = []
    for paragraph in text.split("\n\n"):
        callout = _CALLOUT.match(paragraph)
        if callout and callout[1] in names:
            instructed = callout[1]
            kept.append(
                f"> **Given** `{instructed}`: it is no exercise in this course. Its code is in "
                f"`{names[instructed].path}`."
            )
        elif not instructed or paragraph.startswith(_PREDICTION):
            kept.append(re.sub(r"^(#+ [\d.]+ )Exercise: `(\w+)`", lambda match: _heading(match, names), paragraph))
        if f'hint("{instructed}")' in paragraph:
            instructed = ""
    return "\n\n".join(kept), instructed


def _heading(match: re.Match[str], names: Mapping[str, Exercise]) -> str:
    return f"{match[1]}Given: `{match[2]}`" if match[2] in names else match[0]
