"""Choose the folder from which the parts' packages are imported: a learner's, or the solutions."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS, PARTS_BY_NAME, Part
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.paths import SOLUTIONS

# Environment variables that name the folder of the learner's parts; the second name is that of earlier releases.
WORKSPACE_VARIABLES = ("RLHF_COURSE_WORKSPACE", "RLHF_COURSE_DESK")


def parts_in(folder: Path) -> list[Part]:
    """Return the parts whose packages a folder holds."""
    return [part for part in PARTS if (folder / part.name / "__init__.py").is_file()]


def package_root(folder: str | Path) -> Path:
    """Return the resolved folder that holds the parts' packages, given that folder or one part's own folder."""
    root = Path(folder).expanduser().resolve()
    return root.parent if root.name in PARTS_BY_NAME and not parts_in(root) else root


def use_code(folder: str | Path = SOLUTIONS) -> Path:
    """Let this process import the parts' packages from a folder from now on.

    Args:
        folder: The folder that holds the parts' packages, or one part's own folder.

    Returns:
        The resolved folder that holds them.

    Raises:
        CourseError: The folder holds no part.
    """
    root = package_root(folder)
    if not parts_in(root):
        raise CourseError(
            f"{root} holds no {DEFAULT_PART.name}/__init__.py: name the folder that holds {DEFAULT_PART.name}/, "
            "such as notebooks/"
        )
    for name in list(sys.modules):  # a copy, since other threads may import modules meanwhile
        if name.split(".")[0] in PARTS_BY_NAME:
            del sys.modules[name]
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    return root


def course_answers(needed_by: str = "train without --code") -> Path:
    """Return the folder of the course's answers.

    Args:
        needed_by: What needs them, for the message.

    Raises:
        CourseError: The answers are not here; a class's bundle does not hold them.
    """
    if not parts_in(SOLUTIONS):
        raise CourseError(
            f"{needed_by} needs the course's answers, which are not here ({SOLUTIONS}): train your own code instead, "
            "with --code notebooks and without --lean"
        )
    return SOLUTIONS


def code_in_use(part: Part = DEFAULT_PART) -> Path:
    """Return the folder from which a part's package is imported.

    Raises:
        CourseError: The part's package cannot be imported.
    """
    return Path(str(part_package(part.name).__file__)).resolve().parents[1]


def imported_answer(name: str) -> Any:
    """Return the function or class that answers an exercise, from the folder in use.

    Args:
        name: The exercise's name.

    Raises:
        CourseError: The part's package cannot be imported.
        AttributeError: There is no exercise of that name.
    """
    if name not in BY_NAME:
        raise AttributeError(f"the course has no exercise {name!r}")
    return getattr(part_package(BY_NAME[name].part), name)


def trainer_class(lean: bool = False, part: Part = DEFAULT_PART) -> Any:
    """Return the trainer class of a part.

    Args:
        lean: Whether to return the lean trainer, which is part of the solutions, instead of that of the folder in use.
        part: The part.

    Raises:
        CourseError: The part has no trainer, or the lean trainer is not installed.
    """
    if not lean:
        if part.trainer is None:
            raise CourseError(f"{part.name} has no exercise that trains")
        return imported_answer(part.trainer)
    file = SOLUTIONS / "lean.py"
    if not file.is_file():
        course_answers("--lean")
        raise CourseError(f"{file} is missing: train without --lean")
    use_code(SOLUTIONS)
    return load_module(file, "lean").LeanTrainer


def part_package(name: str) -> ModuleType:
    """Import a part's package, by the part's name, from the folder in use.

    Raises:
        CourseError: The package cannot be found.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        advice = "start in notebooks/, or call rlhf_course.use_code with the folder that holds it"
        raise CourseError(f"no {name} can be imported: {advice}") from error
