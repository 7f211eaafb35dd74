"""Choosing whose `part1_rlhf` runs: a learner's, or the solutions."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.errors import CourseError

PACKAGE = "part1_rlhf"
REPOSITORY = Path(__file__).resolve().parents[2]
SOLUTIONS = REPOSITORY / "solutions"


def use_code(folder: str | Path = SOLUTIONS) -> Path:
    """Make `import part1_rlhf` mean the package below a folder, from now on in this process.

    Args:
        folder: the folder that holds `part1_rlhf/`, or that package's own folder.

    Returns: the resolved folder that holds `part1_rlhf/`.

    Raises:
        CourseError: no such package there.
    """
    home = Path(folder).expanduser().resolve()
    if home.name == PACKAGE and not (home / PACKAGE).is_dir():
        home = home.parent
    if not (home / PACKAGE / "__init__.py").is_file():
        raise CourseError(
            f"{home} holds no {PACKAGE}/__init__.py: name the folder that holds {PACKAGE}/, such as notebooks/"
        )
    for name in [name for name in list(sys.modules) if name.split(".")[0] == PACKAGE]:  # a thread may be importing
        del sys.modules[name]
    if str(home) in sys.path:
        sys.path.remove(str(home))
    sys.path.insert(0, str(home))
    importlib.invalidate_caches()
    return home


def code_in_use() -> Path:
    """The folder that holds the `part1_rlhf` which is imported now.

    Raises:
        CourseError: none can be imported.
    """
    return Path(_package().__file__).resolve().parents[1]


def exercise(name: str) -> Any:
    """The function or class that answers an exercise, in the `part1_rlhf` which is in use.

    Raises:
        CourseError: no `part1_rlhf` can be imported.
        AttributeError: no exercise of that name.
    """
    return getattr(_package(), name)


def trainer_class(lean: bool = False) -> Any:
    """The trainer of the code in use, or the lean one, which lies with the solutions.

    Raises:
        CourseError: no solutions are here.
    """
    if not lean:
        return exercise("RLHFTrainer")
    file = SOLUTIONS / "lean.py"
    if not file.is_file():
        raise CourseError(f"the lean trainer is part of the solutions, and {file} is not here")
    use_code(SOLUTIONS)
    spec = importlib.util.spec_from_file_location("lean", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LeanTrainer


def _package() -> ModuleType:
    try:
        return importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        if error.name != PACKAGE:
            raise
        advice = "start in notebooks/, or call rlhf_course.use_code with the folder that holds it"
        raise CourseError(f"no {PACKAGE} can be imported: {advice}") from error
