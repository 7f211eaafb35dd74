"""Find, read, save and import the files of a learner's workspace."""

import difflib
import hashlib
import importlib.util
import linecache
import os
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS_BY_NAME, Exercise
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.learner_package import WORKSPACE_VARIABLES, package_root, part_package, parts_in, use_code
from rlhf_course.notebook.time_limit import TimeLimitExceeded, time_limit
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_stub

HISTORY = ".history"


def find_workspace() -> Path:
    """Return the folder that holds the parts' packages of the learner.

    The environment variable RLHF_COURSE_WORKSPACE names it. Without that variable it is the current folder, or the
    nearest one above it, that holds a part.

    Raises:
        CourseError: No such folder holds a part.
    """
    for variable in WORKSPACE_VARIABLES:
        if named := os.environ.get(variable):
            folder = package_root(named)
            if parts_in(folder):
                return folder
            raise CourseError(
                f"{variable} is {named!r}, which holds no {DEFAULT_PART.name}/__init__.py: set it to the folder that "
                f"holds {DEFAULT_PART.name}/, or unset it"
            )
    current = Path.cwd().resolve()
    for folder in (current, *current.parents):
        if parts_in(folder):
            return folder
    raise CourseError(
        f"no {DEFAULT_PART.name}/ here ({current}): start in notebooks/, or set {WORKSPACE_VARIABLES[0]} to that folder"
    )


def exercises_in(workspace: Path) -> list[Exercise]:
    """Return the exercises of the parts that a workspace holds, in the course's order."""
    return [exercise for part in parts_in(workspace) for exercise in part.exercises]


def exercise_of(name_or_object: Any) -> Exercise:
    """Return the exercise of a name, a function or a class.

    Raises:
        CourseError: There is no exercise of that name.
    """
    name = name_or_object if isinstance(name_or_object, str) else getattr(name_or_object, "__name__", None)
    if name not in BY_NAME:
        near = difflib.get_close_matches(str(name), BY_NAME, 1)
        others = f"did you mean {near[0]}?" if near else f"the exercises are {', '.join(BY_NAME)}"
        raise CourseError(f"{name or name_or_object!r} is no exercise; {others}")
    return BY_NAME[name]


def file_of(exercise: Exercise) -> Path:
    """Return the file that holds the learner's answer."""
    return find_workspace() / exercise.path


def read_answer(exercise: Exercise) -> str | None:
    """Return the text of the learner's file with Unix line ends, or None if there is no file.

    Other editors may have written it, so a byte order mark is removed, and Latin-1 is tried if it is not UTF-8.
    """
    try:
        content = file_of(exercise).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return normalize_newlines(content.decode("utf-8"))
    except UnicodeDecodeError:
        return normalize_newlines(content.decode("latin-1"))


def normalize_newlines(text: str) -> str:
    """Return a text without a byte order mark, with the line ends of Unix."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def digest(text: str | None) -> str:
    """Return a short digest of a text; None counts as the empty text."""
    return hashlib.sha256((text or "").encode("utf-8")).hexdigest()[:16]


def save_answer(exercise: Exercise, text: str) -> Path | None:
    """Replace the learner's file, and copy its earlier text to the history.

    Returns:
        The path of the copy; None if the earlier text was missing, the same, or an untouched stub.
    """
    before, backup = read_answer(exercise), None
    if before is not None and before != text and not is_stub(exercise, before):
        backup = _back_up(exercise, before)
    path = file_of(exercise)
    write_text(path, text)
    # Python takes cached bytecode as current if the file's size and modification second are unchanged, as they may be
    # after a quick edit.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    return backup


def _back_up(exercise: Exercise, text: str) -> Path:
    """Copy a text to the history, unless the history holds the same text, and return the copy's path."""
    history = file_of(exercise).parent / HISTORY
    history.mkdir(exist_ok=True)
    for path in history.glob(f"{exercise.module}-*-{digest(text)}.py"):
        return path
    path = history / f"{exercise.module}-{datetime.now():%Y%m%d-%H%M%S}-{digest(text)}.py"
    write_text(path, text)
    return path


# Importing.


def load_answer(exercise: Exercise) -> Any:
    """Import the learner's answer from its file, which is run again only if it has changed.

    Returns:
        The object that the file defines under the exercise's name.

    Raises:
        CourseError: There is no such file, or it does not define the name.
        Exception: The exception that the file raises.
    """
    text = read_answer(exercise)
    path = file_of(exercise)
    if text is None:
        raise CourseError(f"{path} does not exist: `reset({exercise.name!r})` writes the stub to it")
    module = load_text(exercise, path, text)
    if exercise.name not in vars(module):
        raise CourseError(f"{exercise.path} does not define {exercise.name}: keep the exercise's name")
    return vars(module)[exercise.name]


def load_text(exercise: Exercise, path: Path, text: str) -> ModuleType:
    """Import a text as the exercise's module in the part's package.

    Args:
        exercise: The exercise.
        path: The file that holds the text.
        text: The text of the module.

    Returns:
        The module. If a module of the same path and text is imported already, it is returned.

    Raises:
        Exception: The exception that the text raises; the module that was imported before then stays.
    """
    package = _package(exercise)
    name = exercise.qualified_module
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__text__", None) == (str(path), text):
        return loaded
    linecache.checkcache(str(path))
    module = ModuleType(name)
    module.__file__, module.__package__ = str(path), exercise.part
    module.__spec__ = importlib.util.spec_from_file_location(name, path)
    vars(module)["__text__"] = (str(path), text)
    sys.modules[name] = module
    try:
        with time_limit():
            exec(compile(text, str(path), "exec"), module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        if loaded is not None:
            sys.modules[name] = loaded
        raise
    setattr(package, exercise.module, module)
    return module


def load_all(substituted: tuple[str, ...] = ()) -> None:
    """Import every file of the workspace that has changed. A file that raises an exception is left out.

    Args:
        substituted: Exercises whose answer is imported from the solutions instead.
    """
    for exercise in exercises_in(find_workspace()):
        try:
            if exercise.name in substituted:
                path = SOLUTIONS / exercise.path
                load_text(exercise, path, path.read_text(encoding="utf-8"))
            else:
                load_answer(exercise)
        except (Exception, SystemExit, TimeLimitExceeded):
            sys.modules.pop(exercise.qualified_module, None)


def _package(exercise: Exercise) -> ModuleType:
    """Import the part's package from the workspace, and leave what is loaded of the workspace's other parts."""
    workspace = find_workspace()
    loaded = [name for name in PARTS_BY_NAME if name in sys.modules]
    if not all(_is_of(workspace, sys.modules[name]) for name in loaded):
        use_code(workspace)
    package = part_package(exercise.part) if str(workspace) in sys.path else None
    if package is None or not _is_of(workspace, package):
        use_code(workspace)
    return part_package(exercise.part)


def _is_of(workspace: Path, package: ModuleType) -> bool:
    """Return whether a part's package was imported from a workspace."""
    return Path(str(package.__file__)).resolve().parent == workspace / package.__name__
