"""Load the answers that run in this process: the reference's, and those of a trusted folder."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, EXERCISES, PARTS
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module
from rlhf_course.grading.sandbox.answers import AnswerError, LocalAnswers, answer_error
from rlhf_course.learner_package import imported_answer, package_root, use_code
from rlhf_course.paths import SOLUTIONS


@cache
def reference_answers() -> LocalAnswers:
    """Load the answers of `solutions/`, whose packages become the parts' packages of this process."""
    use_code(SOLUTIONS)
    return LocalAnswers({exercise.name: imported_answer(exercise.name) for exercise in EXERCISES})


def trusted_answers(folder: str | Path) -> "TrustedAnswers":
    """Return the answers in a folder that holds the parts' folders; they run in this process with its rights.

    Raises:
        CourseError: The folder holds no part's folder.
    """
    root = package_root(folder)
    if not any((root / part.name).is_dir() for part in PARTS):
        names = " or ".join(f"{part.name}/" for part in PARTS)
        raise CourseError(f"--answers: {folder} holds no {names}")
    return TrustedAnswers(root)


class TrustedAnswers:
    """Loads each answer from its file; its imports of other exercises resolve to the reference's answers.

    Args:
        root: The folder that holds the parts' folders.
    """

    def __init__(self, root: Path) -> None:
        reference_answers()
        self._root = root

    def answer(self, exercise: str) -> Any:
        """See `Answers.answer`."""
        path = self._root / BY_NAME[exercise].path
        if not path.is_file():
            raise AnswerError("missing", f"there is no {path.name}")
        answer = vars(_load(path)).get(exercise)
        if answer is None:
            raise AnswerError("error", f"{path.name} does not define {exercise}: the exercise keeps its name")
        return LocalAnswers({exercise: answer}).answer(exercise)


@cache
def _load(path: Path) -> ModuleType:
    try:
        return load_module(path, f"_answer_{path.parent.name}_{path.stem}")
    except (Exception, SystemExit) as error:
        raise answer_error(error, str(path), path.name) from error
