"""Answers in this process: the reference's, and those of a folder that is trusted."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, EXERCISES, PARTS
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.grading.sandbox.answers import AnswerError, LocalAnswers, account
from rlhf_course.learner_package import imported_answer, package_root, use_code
from rlhf_course.paths import SOLUTIONS


@cache
def reference_answers() -> LocalAnswers:
    """The answers of `solutions/`, loaded once; from here on they are the parts' packages of this process."""
    use_code(SOLUTIONS)
    return LocalAnswers({one.name: imported_answer(one.name) for one in EXERCISES})


def trusted_answers(folder: str | Path) -> "TrustedAnswers":
    """The answers in a folder that holds the parts' folders, which run in this process with its rights.

    Raises:
        CourseError: it holds none.
    """
    root = package_root(folder)
    if not any((root / part.name).is_dir() for part in PARTS):
        names = " or ".join(f"{part.name}/" for part in PARTS)
        raise CourseError(f"--answers: {folder} holds no {names}")
    return TrustedAnswers(root)


class TrustedAnswers:
    """Answers that are loaded from files when they are asked for, each with the reference's answers to the other exercises.

    Args:
        home: the folder that holds the parts' folders.
    """

    def __init__(self, home: Path) -> None:
        reference_answers()
        self._home = home

    def answer(self, exercise: str) -> Any:
        """See `Answers`."""
        path = self._home / BY_NAME[exercise].path
        if not path.is_file():
            raise AnswerError("missing", f"there is no {path.name}")
        found = vars(_loaded(path)).get(exercise)
        if found is None:
            raise AnswerError("error", f"{path.name} does not define {exercise}: the exercise keeps its name")
        return LocalAnswers({exercise: found}).answer(exercise)


@cache
def _loaded(path: Path) -> ModuleType:
    try:
        return load_module(path, f"_answer_{path.parent.name}_{path.stem}")
    except (Exception, SystemExit) as error:
        raise account(error, str(path), path.name) from error
