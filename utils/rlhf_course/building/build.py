"""Build stubs, notebooks and the data of the checks from `solutions/` and the bank."""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlhf_course.bank import bank_file
from rlhf_course.building.check_data import build_data, data_equal, format_data
from rlhf_course.building.course_changes import change_files
from rlhf_course.building.notebooks import build_notebook, exercises_in, notebook_sources, source_notebook
from rlhf_course.building.stubs import cut_solutions
from rlhf_course.course import DEFAULT_PART, EXERCISES, PARTS, PARTS_BY_NAME, Exercise, Part
from rlhf_course.errors import CourseError

_CACHE = Path(".cache/rlhf-course-build")
_CHECKS = Path("utils/rlhf_course/checks")
_STUBS = Path("utils/rlhf_course/stubs.json")
_NOTEBOOKS = Path("notebooks")
_PICTURES = (".svg", ".png")


def built_files(root: Path, use_cache: bool = True) -> dict[Path, bytes]:
    """Return the content of every built file, by its path below the repository.

    Args:
        root: The repository.
        use_cache: Whether to take the data of a check from the last build if its sources are unchanged.

    Raises:
        CourseError: A source is missing or wrong; the message names the file and says what to do.
    """
    for folder in ("solutions", "utils/rlhf_course/checks", "tests/hidden"):
        _require_files(root, (root / folder / exercise.path for exercise in EXERCISES))
    stubs = {exercise.name: _stub(root, exercise) for exercise in EXERCISES}
    files = {_STUBS: json.dumps(stubs, indent=1) + "\n"}
    for part in PARTS:
        files[_NOTEBOOKS / part.name / "__init__.py"] = (root / "solutions" / part.name / "__init__.py").read_text()
    files |= {_NOTEBOOKS / exercise.path: stubs[exercise.name] for exercise in EXERCISES}
    files |= _notebooks(root, stubs)
    files |= _check_data(root, use_cache)
    return {path: text.encode("utf-8") for path, text in files.items()} | _figures(root)


def _stub(root: Path, exercise: Exercise) -> str:
    path = f"solutions/{exercise.path}"
    return cut_solutions((root / path).read_text(encoding="utf-8"), path)


def assignment_files(root: Path, part: Part = DEFAULT_PART) -> dict[Path, bytes]:
    """Return the source folder of a part's nbgrader assignment: notebooks with solutions, and stubs as files.

    The docstring of `source_notebook` describes the options that nbgrader needs.

    Args:
        root: The repository.
        part: The part, with a course's points, and without the exercises that it leaves out.

    Returns:
        The content of each file, by its path below the folder.
    """
    solutions, exercises = root / "solutions", PARTS_BY_NAME[part.name].exercises
    solved = {exercise.name: (solutions / exercise.path).read_text(encoding="utf-8") for exercise in exercises}
    sources = [source for source in notebook_sources(root) if part.has_notebook(source.stem)]
    files = {Path(f"{source.stem}.ipynb"): source_notebook(source, solved).encode("utf-8") for source in sources}
    files[Path(part.name) / "__init__.py"] = (solutions / part.name / "__init__.py").read_bytes()
    for exercise in exercises:
        files[Path(exercise.path)] = _stub(root, exercise).encode("utf-8")
    return change_files(files, [part], root) | {
        path.relative_to(_NOTEBOOKS): content for path, content in _figures(root).items()
    }


def write_files(root: Path, files: dict[Path, bytes], force: bool = False) -> list[Path]:
    """Write the built files that differ, and delete notebooks and figures that have no source any more.

    Args:
        root: The repository.
        files: The result of `built_files`.
        force: Whether to overwrite a learner's work in `notebooks/`.

    Returns:
        The paths of the files that were written or deleted.

    Raises:
        CourseError: A learner's work in `notebooks/` would be overwritten, and `force` is off.
    """
    if not force and (edited := _edited_files(root)):
        names = ", ".join(map(str, edited))
        raise CourseError(f"the build would overwrite work in {names}: move these files away, or build with --force")
    outdated = outdated_files(root, files)
    for path in outdated:
        target = root / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[path])
        else:
            target.unlink()
    return outdated


def outdated_files(root: Path, files: dict[Path, bytes]) -> list[Path]:
    """Return the paths of built files that are missing, that differ, or that have no source any more."""
    existing = [
        *(root / _NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"),
        *(path for path in (root / _NOTEBOOKS / "figures").glob("*") if path.suffix in _PICTURES),
    ]
    stale = sorted(path.relative_to(root) for path in existing if path.relative_to(root) not in files)
    return [path for path, content in files.items() if not _is_built(root / path, content)] + stale


def _is_built(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    existing = path.read_bytes()
    if existing == content:
        return True
    # Another machine may round the numbers of the data differently.
    if path.parent.name == "data":
        try:
            return data_equal(existing.decode("utf-8"), content.decode("utf-8"))
        except ValueError:
            return False
    return False


def _notebooks(root: Path, stubs: dict[str, str]) -> dict[Path, str]:
    sources = notebook_sources(root)
    cells = {source.stem: exercises_in(source) for source in sources}
    for exercise in EXERCISES:
        if exercise.notebook in cells and cells[exercise.notebook].count(exercise.name) != 1:
            raise CourseError(
                f'solutions/notebooks/{exercise.notebook}.md needs exactly one cell with exercise="{exercise.name}"'
            )
    return {_NOTEBOOKS / f"{source.stem}.ipynb": build_notebook(source, stubs) for source in sources}


def _figures(root: Path) -> dict[Path, bytes]:
    figures = root / "solutions/notebooks/figures"
    return {
        _NOTEBOOKS / "figures" / path.name: path.read_bytes()
        for path in sorted(figures.glob("*"))
        if path.suffix in _PICTURES
    }


def _check_data(root: Path, use_cache: bool) -> dict[Path, str]:
    return {
        _CHECKS / exercise.part / "data" / f"{exercise.module}.json": _cached_data(root, exercise, use_cache)
        for exercise in EXERCISES
    }


def _cached_data(root: Path, exercise: Exercise, use_cache: bool) -> str:
    """Return the data of one check from the cache, or compute it and store it there."""
    cached = root / _CACHE / exercise.part / f"{exercise.module}-{fingerprint(root, exercise)}.json"
    if use_cache and cached.is_file():
        return cached.read_text(encoding="utf-8")
    data = format_data(build_data(root, exercise))
    for outdated in cached.parent.glob(f"{exercise.module}-*.json"):
        outdated.unlink()
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(data, encoding="utf-8")
    return data


def fingerprint(root: Path, exercise: Exercise) -> str:
    """Return a hash of everything that the data of an exercise's check is computed from."""
    package = root / "utils/rlhf_course"
    sources = [package / "checks" / name for name in ("core.py", "tiny.py", exercise.path)]
    sources.append(bank_file(root, exercise))
    sources += [
        *sorted((package / "rl").glob("*.py")),
        *sorted((root / "solutions" / exercise.part).glob("*.py")),
        package / "building/check_data.py",
    ]
    digest = hashlib.sha256(f"{version('torch')} {version('transformer-lens')}".encode())
    for path in sources:
        digest.update(b"\0" + path.name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()[:16]


def _require_files(root: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise CourseError(f"{path.relative_to(root)} is missing: write it, since every exercise needs this file")


def _edited_files(root: Path) -> list[Path]:
    """Return the paths of stubs and notebooks in `notebooks/` that a learner has worked in since they were built."""
    if not (root / _STUBS).is_file():
        return []
    stubs = json.loads((root / _STUBS).read_text())
    edited = []
    for exercise in EXERCISES:
        path = root / _NOTEBOOKS / exercise.path
        if exercise.name in stubs and path.is_file() and path.read_text(encoding="utf-8") != stubs[exercise.name]:
            edited.append(path.relative_to(root))
    for path in sorted((root / _NOTEBOOKS).glob("[0-9][0-9]_*.ipynb")):
        if any(cell.get("execution_count") for cell in _cells(path)):
            edited.append(path.relative_to(root))
    return edited


def _cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook; an empty list if the file is not a notebook."""
    try:
        cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return []
    return cells
