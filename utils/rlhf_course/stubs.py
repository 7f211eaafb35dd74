"""Read the stubs that learners start from, and recognise a text that is still an untouched stub."""

import ast
import json
from functools import cache

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.paths import STUBS

# The marks around each solution in an answer's file.
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
NOT_WRITTEN = "write this part"
CODE_STUB = f'raise NotImplementedError("{NOT_WRITTEN}")'
# The first line of the file of an exercise that a course leaves out.
GIVEN = "# Given: in this course this is no exercise, and the file holds its answer."
# A longer text is not compared with the stub's syntax tree: no stub has this many characters.
_MAX_STUB_LENGTH = 20_000


def stub_of(exercise: Exercise) -> str:
    """Return the stub of an exercise.

    Raises:
        CourseError: The course was not built with this exercise.
    """
    try:
        return _stubs()[exercise.name]
    except KeyError:
        raise CourseError(f"there is no stub of {exercise.name}: run `rlhf-course build`") from None


def given_text(solution: str) -> str:
    """Return the file of an exercise that a course leaves out.

    Args:
        solution: The text of the answer's file, with the marks around each solution.
    """
    lines = [line for line in solution.splitlines() if line.strip() not in (BEGIN, END)]
    return "\n".join([GIVEN, *lines]) + "\n"


def is_given(text: str | None) -> bool:
    """Return whether a text is the file of an exercise that the course leaves out."""
    return text is not None and text.startswith(GIVEN)


def is_stub(exercise: Exercise, text: str | None) -> bool:
    """Return whether a text is the untouched stub of an exercise, of this release or an earlier one.

    Releases differ in docstrings, comments and layout, so a text with the stub's code counts as the stub.

    Args:
        exercise: The exercise.
        text: The text of the answer's file; None for a missing file, which counts as the stub.

    Raises:
        CourseError: The course was not built with this exercise.
    """
    if text is None or not text.strip():
        return True
    stub = stub_of(exercise)
    if _without_trailing_space(text) == _without_trailing_space(stub):
        return True
    return NOT_WRITTEN in text and len(text) <= _MAX_STUB_LENGTH and _code(text) == _code(stub)


def _without_trailing_space(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _code(text: str) -> str | None:
    """Return a module's syntax tree without docstrings, as text; None if it cannot be parsed."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


@cache
def _stubs() -> dict[str, str]:
    return json.loads(STUBS.read_text(encoding="utf-8")) if STUBS.is_file() else {}
