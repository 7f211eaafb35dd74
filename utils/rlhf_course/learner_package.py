"""Choose whose packages of answers are imported: a learner's, or the solutions."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS, PARTS_BY_NAME, Part
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.paths import SOLUTIONS

PACKAGE = DEFAULT_PART.name


# Environment variables that name the folder of the learner's parts; the second name is that of earlier releases.
WORKSPACE_VARIABLES = ("RLHF_COURSE_WORKSPACE", "RLHF_COURSE_DESK")


def parts_in(folder: Path) -> list[Part]:
    """The parts whose packages a folder holds."""
    return [part for part in PARTS if (folder / part.name / "__init__.py").is_file()]


def package_root(folder: str | Path) -> Path:
    """The folder that holds the parts' packages, resolved, given that folder or one part's own folder."""
    root = Path(folder).expanduser().resolve()
    return root.parent if root.name in PARTS_BY_NAME and not parts_in(root) else root


def use_code(folder: str | Path = SOLUTIONS) -> Path:
    """Import the packages of the parts from a folder, from now on in this process.

    Args:
        folder: the folder that holds the parts' packages, or one part's own folder.

    Returns: the resolved folder that holds them.

    Raises:
        CourseError: it holds no part.
    """
    root = package_root(folder)
    if not parts_in(root):
        raise CourseError(
            f"{root} holds no {DEFAULT_PART.name}/__init__.py: name the folder that holds {DEFAULT_PART.name}/, "
            "such as notebooks/"
        )
    for name in [
        name for name in list(sys.modules) if name.split(".")[0] in PARTS_BY_NAME
    ]:  # a thread may be importing
        del sys.modules[name]
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    return root


def code_in_use(part: Part = DEFAULT_PART) -> Path:
    """The folder that holds the package of a part which is imported now.

    Raises:
        CourseError: none can be imported.
    """
    return Path(str(part_package(part.name).__file__)).resolve().parents[1]


def imported_answer(name: str) -> Any:
    """The function or class that answers an exercise, in the packages which are in use.

    Raises:
        CourseError: the part's package cannot be imported.
        AttributeError: no exercise of that name.
    """
    if name not in BY_NAME:
        raise AttributeError(f"the course has no exercise {name!r}")
    return getattr(part_package(BY_NAME[name].part), name)


def trainer_class(lean: bool = False, part: Part = DEFAULT_PART) -> Any:
    """The trainer of a part in the code in use, or the lean one, which lies with the solutions.

    Raises:
        CourseError: the part has no trainer, or no solutions are here.
    """
    if not lean:
        if part.trainer is None:
            raise CourseError(f"{part.name} has no exercise that trains")
        return imported_answer(part.trainer)
    file = SOLUTIONS / "lean.py"
    if not file.is_file():
        raise CourseError(f"the lean trainer is part of the solutions, and {file} is not here")
    use_code(SOLUTIONS)
    return load_module(file, "lean").LeanTrainer


def part_package(name: str) -> ModuleType:
    """Import a part's package, by the part's name, from the folder in use.

    Raises:
        CourseError: it is not there.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        advice = "start in notebooks/, or call rlhf_course.use_code with the folder that holds it"
        raise CourseError(f"no {name} can be imported: {advice}") from error
