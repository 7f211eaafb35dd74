"""Make the sources of a course's assignments: a part each, or some notebooks each."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf_course.building.build import assignment_files
from rlhf_course.course import Part
from rlhf_course.errors import CourseError


def parse_assignment(text: str) -> tuple[str, frozenset[int]]:
    """Return the name and the numbers of the notebooks of an assignment that is written as NAME=01,02,03.

    Raises:
        CourseError: The text has another form.
    """
    match = re.fullmatch(r"([A-Za-z0-9_-]+)=(\d+(?:,\d+)*)", text)
    if match is None:
        raise CourseError(f"an assignment is written as NAME=01,02,03, with the numbers of its notebooks, got {text!r}")
    return match[1], frozenset(map(int, match[2].split(",")))


def assignment_sources(
    root: Path, parts: Sequence[Part], assignments: Mapping[str, frozenset[int]] | None = None
) -> dict[Path, bytes]:
    """Return the files of the assignments' sources, by their paths below `source/`.

    Args:
        root: The repository.
        parts: The parts, each of which becomes an assignment if no assignments are given.
        assignments: The numbers of the notebooks of each assignment. Each has the stubs of all exercises of the parts
            that its notebooks belong to, since later exercises use earlier ones.

    Raises:
        CourseError: A part has no notebook of a number.
    """
    if not assignments:
        return {Path(part.name) / path: file for part in parts for path, file in assignment_files(root, part).items()}
    known = {number for part in parts for number in part.notebooks}
    sources: dict[Path, bytes] = {}
    for name, numbers in assignments.items():
        if unknown := sorted(numbers - known):
            raise CourseError(
                f"{name}: there is no notebook {unknown[0]:02} in {', '.join(part.name for part in parts)}, "
                f"whose notebooks are {', '.join(f'{number:02}' for number in sorted(known))}"
            )
        for part in parts:
            if numbers.isdisjoint(part.notebooks):
                continue
            files = assignment_files(root, part)
            sources |= {Path(name) / path: file for path, file in files.items() if _is_chosen(path, numbers)}
    return sources


def _is_chosen(path: Path, numbers: frozenset[int]) -> bool:
    return path.suffix != ".ipynb" or int(path.name.partition("_")[0]) in numbers
