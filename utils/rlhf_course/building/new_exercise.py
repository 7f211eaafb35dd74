"""Add an exercise to the course as a skeleton: its entry in the list, its files, and its cells in a notebook."""

import ast
import re
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path

from rlhf_course.building.notebooks import notebook_sources
from rlhf_course.building.skeleton import TODO, notebook_section, skeleton_files
from rlhf_course.course import BY_NAME, PARTS_BY_NAME, Exercise, Part
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.paths import REPOSITORY

COURSE_LIST = "utils/rlhf_course/course.py"
_DIFFICULTY, _IMPORTANCE, _MINUTES = 1, 1, (5, 10)


def add_exercise(root: Path, name: str, part: str, notebook: str | None, is_class: bool, points: int) -> list[str]:
    """Write the skeleton of a new exercise; either all files are written or none.

    Args:
        root: The repository.
        name: The function or class that learners write.
        part: The name of the part that it belongs to.
        notebook: The number or the stem of the notebook that teaches it; None for the part's last notebook that
            teaches an exercise.
        is_class: Whether the answer is a class.
        points: The points of its hidden tests together.

    Returns:
        The paths of the new and the changed files below `root`, in the order in which an author edits them.

    Raises:
        CourseError: `root` is not a clone of the course, the name cannot be used, there is no such part or notebook, or
            a file exists or cannot be written.
    """
    _require_clone(root)
    module = _snake_case(name) if is_class else name
    _require_new_name(name, module)
    if part not in PARTS_BY_NAME:
        raise CourseError(f"there is no part {part!r}: the parts are {', '.join(PARTS_BY_NAME)}")
    source = _notebook_source(root, PARTS_BY_NAME[part], notebook)
    stem = "" if module == name else module
    exercise = Exercise(name, source.stem, points, _DIFFICULTY, _IMPORTANCE, _MINUTES, stem=stem, part=part)
    files = skeleton_files(exercise, is_class)
    if existing := [path for path in [*files, f"notebooks/{exercise.path}"] if (root / path).exists()]:
        raise CourseError(f"{', '.join(existing)} exists: choose another name, or move the file away")
    text = source.read_text(encoding="utf-8")
    section = notebook_section(exercise, text)
    listed = _with_entry((root / COURSE_LIST).read_text(encoding="utf-8"), exercise)
    changed = {COURSE_LIST: listed, str(source.relative_to(root)): text.rstrip("\n") + "\n" + section}
    _write_all(root, changed | files)
    return [*changed, *files]


def todo_lines(root: Path, exercise: Exercise) -> list[str]:
    """Return the `TODO:` lines of an exercise's files and of its notebook, each as `FILE:LINE: TEXT`."""
    paths = [*skeleton_files(exercise, is_class=True), f"solutions/notebooks/{exercise.notebook}.md"]
    return [
        f"{path}:{number}: {line.strip()}"
        for path in paths
        if (root / path).is_file()
        for number, line in enumerate((root / path).read_text(encoding="utf-8").splitlines(), 1)
        if TODO in line
    ]


def _require_clone(root: Path) -> None:
    if not (root / COURSE_LIST).is_file():
        raise CourseError(
            f"new-exercise needs a clone of the course, and {root} holds no {COURSE_LIST}: "
            "run it in the root of the repository"
        )
    if root.resolve() != REPOSITORY:
        raise CourseError(
            f"this command belongs to the clone {REPOSITORY}: run `make setup` in {root}, and its command"
        )


def _require_new_name(name: str, module: str) -> None:
    if not (name.isidentifier() and name.isascii()) or iskeyword(name) or iskeyword(module):
        raise CourseError(f"{name!r} cannot name a function or class: use letters, digits and _, and no Python keyword")
    if module.startswith(("_", "test_")) or module == "conftest":
        raise CourseError(
            f"{name!r} cannot name an exercise, since files of that name have a meaning for pytest or Python: choose "
            "another name"
        )
    if name in BY_NAME:
        raise CourseError(
            f"{name} is an exercise of {BY_NAME[name].part} already: choose a name that is new in the whole course"
        )


def _notebook_source(root: Path, part: Part, notebook: str | None) -> Path:
    """Return the source of the notebook that a command line names by its number or stem."""
    sources = {source.stem: source for source in notebook_sources(root) if part.has_notebook(source.stem)}
    if notebook is None:
        teaching = [stem for stem in sources if any(exercise.notebook == stem for exercise in part.exercises)]
        notebook = max(teaching or sources, default="")
    for stem, source in sources.items():
        number = stem.partition("_")[0]
        if notebook in (stem, number, number.lstrip("0")):
            return source
    raise CourseError(f"{part.name} has no notebook {notebook!r}: its notebooks are {', '.join(sources)}")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _with_entry(text: str, exercise: Exercise) -> str:
    """Return the text of the course's list with the entry of an exercise, placed by the order of the notebooks."""
    stem = f', stem="{exercise.stem}"' if exercise.stem else ""
    numbers = f"{exercise.points}, {exercise.difficulty}, {exercise.importance}, {exercise.minutes}"
    entry = f'Exercise("{exercise.name}", "{exercise.notebook}", {numbers}{stem})'
    listed = PARTS_BY_NAME[exercise.part].exercises
    entries = _list_of_exercises(text, exercise.part)
    if len(entries.elts) != len(listed):
        raise CourseError(f"{COURSE_LIST}: write the exercises of {exercise.part} as one tuple of Exercise(...)")
    if not entries.elts:
        start, end = _offsets(text, entries)
        return f"{text[:start]}(\n            {entry},\n        ){text[end:]}"
    separator = ",\n" + " " * entries.elts[0].col_offset
    position = sum(other.notebook <= exercise.notebook for other in listed)
    if position == 0:
        start, _ = _offsets(text, entries.elts[0])
        return text[:start] + entry + separator + text[start:]
    _, end = _offsets(text, entries.elts[position - 1])
    return text[:end] + separator + entry + text[end:]


def _list_of_exercises(text: str, part: str) -> ast.Tuple:
    """Return the node of `exercises=(...)` in the `Part(...)` of that name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Part":
            values = {keyword.arg: keyword.value for keyword in node.keywords}
            name, exercises = values.get("name"), values.get("exercises")
            if isinstance(name, ast.Constant) and name.value == part and isinstance(exercises, ast.Tuple):
                return exercises
    raise CourseError(f'{COURSE_LIST}: write the part {part} as Part(name="{part}", exercises=(...)), with a tuple')


def _offsets(text: str, node: ast.expr) -> tuple[int, int]:
    """Return the indices of the characters at which a node starts and ends in its source.

    `ast` counts columns in bytes, so the lines must be ASCII up to the node's end.
    """
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    assert node.end_lineno is not None and node.end_col_offset is not None
    return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset


def _write_all(root: Path, files: Mapping[str, str]) -> None:
    """Write files below the repository; after an error, restore the old files and delete the new ones."""
    before = {path: (root / path).read_bytes() if (root / path).is_file() else None for path in files}
    try:
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_text(root / path, text)
    except BaseException as error:
        for path, content in before.items():
            if content is None:
                (root / path).unlink(missing_ok=True)
            else:
                write_text(root / path, content.decode("utf-8"))
        if isinstance(error, OSError):
            raise CourseError(f"nothing was added, since a file cannot be written: {error}") from error
        raise
