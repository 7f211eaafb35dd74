"""Find files of the learner that hide a module of Python or of an installed package.

Python looks for modules beside the notebook first, so a `torch.py` there takes the place of torch, everywhere.
"""

import contextlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.notebook.workspace import find_workspace


def hiding_files() -> list[str]:
    """Return a sentence for each Python file beside the notebooks that hides a module."""
    return [
        hiding_sentence(path.stem)
        for folder in sorted(_own_folders())
        for path in sorted(folder.glob("*.py"))
        if hides_a_module(path.stem)
    ]


def hides_a_module(name: str) -> bool:
    """Return whether a file of this name, without its ending, hides a module if it is beside the notebooks."""
    own = _own_folders()
    elsewhere = [path for path in sys.path if path and Path(path).resolve() not in own]
    if name in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(name, elsewhere)
    return spec is not None and spec.origin is not None


def hiding_sentence(name: str) -> str:
    """Return what a learner has to do about a file of this name, without its ending."""
    return (
        f"{name}.py, beside the notebooks, hides the module {name} of Python or of a package: give the file another "
        "name, and restart the kernel."
    )


def _own_folders() -> set[Path]:
    folders = {Path.cwd().resolve()}
    with contextlib.suppress(CourseError):
        folders.add(find_workspace())
    return folders
