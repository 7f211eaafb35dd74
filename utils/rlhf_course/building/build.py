"""The whole build: stubs, notebooks and the checks' data, from `solutions/` and the bank of known mistakes."""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from rlhf_course.building.bank import bank_file
from rlhf_course.building.check_data import as_text, build_data, same_data
from rlhf_course.building.notebooks import build_notebook, exercises_in, source_notebook
from rlhf_course.building.stubs import cut_solutions
from rlhf_course.course import DEFAULT_PART, EXERCISES, PARTS, Exercise, Part
from rlhf_course.errors import CourseError

_CACHE = Path(".cache/rlhf-course-build")
_CHECKS = Path("utils/rlhf_course/checks")
_STUBS = Path("utils/rlhf_course/stubs.json")
_NOTEBOOKS = Path("notebooks")
_PICTURES = (".svg", ".png")


def built_files(root: Path, anew: bool = True) -> dict[Path, bytes]:
    """Every file that the build makes, by its path below the repository, with its content.

    Args:
        root: the repository.
        anew: try every known mistake again. Otherwise data is taken from the last build where nothing that it is made from has changed.

    Raises:
        CourseError: a source does not allow it; the message names the file and what is wrong.
    """
    for folder in ("solutions", "utils/rlhf_course/checks", "tests/hidden"):
        _require_files(root, (root / folder / exercise.path for exercise in EXERCISES))
    stubs = {exercise.name: _stub(root, exercise) for exercise in EXERCISES}
    files = {_STUBS: json.dumps(stubs, indent=1) + "\n"}
    for part in PARTS:
        files[_NOTEBOOKS / part.name / "__init__.py"] = (root / "solutions" / part.name / "__init__.py").read_text()
    files |= {_NOTEBOOKS / exercise.path: stubs[exercise.name] for exercise in EXERCISES}
    files |= _notebooks(root, stubs)
    files |= _data(root, anew)
    return {path: text.encode("utf-8") for path, text in files.items()} | _figures(root)


def _stub(root: Path, exercise: Exercise) -> str:
    path = f"solutions/{exercise.path}"
    return cut_solutions((root / path).read_text(encoding="utf-8"), path)


def assignment_files(root: Path, part: Part = DEFAULT_PART) -> dict[Path, bytes]:
    """The source folder of a part's nbgrader assignment, by path below it: notebooks with solutions, stubs as files.

    See `source_notebook` for the options that nbgrader needs.
    """
    solutions = root / "solutions"
    solved = {exercise.name: (solutions / exercise.path).read_text(encoding="utf-8") for exercise in part.exercises}
    sources = [source for source in notebook_sources(root) if part.has_notebook(source.stem)]
    files = {Path(f"{source.stem}.ipynb"): source_notebook(source, solved).encode("utf-8") for source in sources}
    files[Path(part.name) / "__init__.py"] = (solutions / part.name / "__init__.py").read_bytes()
    for exercise in part.exercises:
        files[Path(exercise.path)] = _stub(root, exercise).encode("utf-8")
    return files | {path.relative_to(_NOTEBOOKS): content for path, content in _figures(root).items()}


def write(root: Path, files: dict[Path, bytes], force: bool = False) -> list[Path]:
    """Write the files that differ, and take away notebooks that have no source; returns what changed.

    Raises:
        CourseError: the learner's desk holds work that would be overwritten, and `force` is off.
    """
    if not force and (worked := _work_at(root)):
        names = ", ".join(map(str, worked))
        raise CourseError(f"{names} would be overwritten, with work in it: move it away, or build with --force")
    changed = differing(root, files)
    for path in changed:
        target = root / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[path])
        else:
            target.unlink()
    return changed


def differing(root: Path, files: dict[Path, bytes]) -> list[Path]:
    """The files that are not as built: missing, different, or without a source."""
    made = [
        *(root / _NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"),
        *(path for path in (root / _NOTEBOOKS / "figures").glob("*") if path.suffix in _PICTURES),
    ]
    stale = sorted(path.relative_to(root) for path in made if path.relative_to(root) not in files)
    return [path for path, content in files.items() if not _is_built(root / path, content)] + stale


def _is_built(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    found = path.read_bytes()
    if found == content:
        return True
    # Numbers that another machine rounds differently are no difference.
    if path.parent.name == "data":
        try:
            return same_data(found.decode("utf-8"), content.decode("utf-8"))
        except ValueError:
            return False
    return False


def _notebooks(root: Path, stubs: dict[str, str]) -> dict[Path, str]:
    sources = notebook_sources(root)
    taught = {source.stem: exercises_in(source) for source in sources}
    for exercise in EXERCISES:
        if exercise.notebook in taught and taught[exercise.notebook].count(exercise.name) != 1:
            raise CourseError(
                f'solutions/notebooks/{exercise.notebook}.md: one cell with exercise="{exercise.name}" belongs in it'
            )
    return {_NOTEBOOKS / f"{source.stem}.ipynb": build_notebook(source, stubs) for source in sources}


def notebook_sources(root: Path) -> list[Path]:
    """The texts of the notebooks of all parts, in the series' order."""
    return sorted((root / "solutions/notebooks").glob("[0-9][0-9]_*.md"))


def _figures(root: Path) -> dict[Path, bytes]:
    home = root / "solutions/notebooks/figures"
    return {
        _NOTEBOOKS / "figures" / path.name: path.read_bytes()
        for path in sorted(home.glob("*"))
        if path.suffix in _PICTURES
    }


def _data(root: Path, anew: bool) -> dict[Path, str]:
    return {
        _CHECKS / exercise.part / "data" / f"{exercise.module}.json": _data_of(root, exercise, anew)
        for exercise in EXERCISES
    }


def _data_of(root: Path, exercise: Exercise, anew: bool) -> str:
    cached = root / _CACHE / exercise.part / f"{exercise.module}-{fingerprint(root, exercise)}.json"
    if not anew and cached.is_file():
        return cached.read_text(encoding="utf-8")
    data = as_text(build_data(root, exercise))
    for old in cached.parent.glob(f"{exercise.module}-*.json"):
        old.unlink()
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(data, encoding="utf-8")
    return data


def fingerprint(root: Path, exercise: Exercise) -> str:
    """Of everything that an exercise's data is made from."""
    package = root / "utils/rlhf_course"
    made_from = [package / "checks" / name for name in ("core.py", "tiny.py", exercise.path)]
    made_from.append(bank_file(root, exercise))
    made_from += [
        *sorted((package / "rl").glob("*.py")),
        *sorted((root / "solutions" / exercise.part).glob("*.py")),
        package / "building/check_data.py",
    ]
    digest = hashlib.sha256(f"{version('torch')} {version('transformer-lens')}".encode())
    for path in made_from:
        digest.update(b"\0" + path.name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()[:16]


def _require_files(root: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise CourseError(f"{path.relative_to(root)} is missing: every exercise has a file there")


def _work_at(root: Path) -> list[Path]:
    """Files of the learner's desk that somebody has worked in since they were built."""
    known = root / _STUBS
    if not known.is_file():
        return []
    stubs = json.loads(known.read_text())
    worked = []
    for exercise in EXERCISES:
        path = root / _NOTEBOOKS / exercise.path
        if exercise.name in stubs and path.is_file() and path.read_text(encoding="utf-8") != stubs[exercise.name]:
            worked.append(path.relative_to(root))
    for path in sorted((root / _NOTEBOOKS).glob("[0-9][0-9]_*.ipynb")):
        if any(cell.get("execution_count") for cell in _cells(path)):
            worked.append(path.relative_to(root))
    return worked


def _cells(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return []
