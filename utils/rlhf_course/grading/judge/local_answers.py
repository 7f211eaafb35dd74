"""Answers in this process: the reference's, and those of a folder that is trusted."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.answers import AnswerError, LocalAnswers, account
from rlhf_course.learner_package import PACKAGE, imported_answer, use_code
from rlhf_course.paths import SOLUTIONS


@cache
def reference_answers() -> LocalAnswers:
    """The answers of `solutions/`, loaded once; from here on they are the `part1_rlhf` of this process."""
    use_code(SOLUTIONS)
    return LocalAnswers({one.name: imported_answer(one.name) for one in EXERCISES})


def trusted_answers(folder: str | Path) -> "TrustedAnswers":
    """The answers in a folder that holds `part1_rlhf/`, which run in this process with its rights.

    Raises:
        CourseError: it holds none.
    """
    home = Path(folder).expanduser().resolve()
    home = home if home.name == PACKAGE else home / PACKAGE
    if not home.is_dir():
        raise CourseError(f"--answers: {folder} holds no {PACKAGE}/")
    return TrustedAnswers(home)


class TrustedAnswers:
    """Answers that are loaded from files when they are asked for, each with the reference's answers to the other exercises.

    Args:
        home: the folder of the files.
    """

    def __init__(self, home: Path) -> None:
        reference_answers()
        self._home = home

    def answer(self, exercise: str) -> Any:
        """See `Answers`."""
        path = self._home / BY_NAME[exercise].file
        if not path.is_file():
            raise AnswerError("missing", f"there is no {path.name}")
        found = vars(_loaded(path)).get(exercise)
        if found is None:
            raise AnswerError("error", f"{path.name} does not define {exercise}: the exercise keeps its name")
        return LocalAnswers({exercise: found}).answer(exercise)


@cache
def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"_answer_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect finds the file of a class
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise account(error, str(path), path.name) from error
    return module
