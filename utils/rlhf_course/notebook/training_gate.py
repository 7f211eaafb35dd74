"""Check the answers that a run of the command line trains with, as the gate of a notebook does."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import WORKSPACE_VARIABLES, parts_in, use_code
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import check_all
from rlhf_course.notebook.exercise_progress import PASSED
from rlhf_course.notebook.messages import join_names
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_given


@contextmanager
def _workspace_at(folder: Path) -> Iterator[None]:
    """Let the checks look for the answers in a folder, inside the `with` block."""
    variable = WORKSPACE_VARIABLES[0]
    before = os.environ.get(variable)
    os.environ[variable] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def require_passing(folder: Path, names: Sequence[str]) -> None:
    """Check answers, and refuse to train where one does not pass. The course's answers are not checked.

    Args:
        folder: The resolved folder that holds the parts' packages.
        names: The exercises whose answers the run calls.

    Raises:
        CourseError: An exercise does not pass.
    """
    if folder == SOLUTIONS.resolve():
        return
    with _workspace_at(folder):
        exercises = [BY_NAME[name] for name in names]
        exercises = [exercise for exercise in exercises if not is_given(workspace.read_answer(exercise))]
        print(f"Checking {len(exercises)} exercise{'' if len(exercises) == 1 else 's'} in {folder} ...", flush=True)
        statuses = check_all(exercises)
    use_code(folder)
    missing = [name for name, status in statuses.items() if status != PASSED]
    if missing:
        course = "leave out --code to train the course's answers, or " if parts_in(SOLUTIONS) else ""
        raise CourseError(
            f"{join_names(f'{name} ({statuses[name]})' for name in missing)} {'has' if len(missing) == 1 else 'have'} "
            f"to pass first: check({missing[0]!r}) in a notebook shows what is wrong; {course}add --unchecked to train "
            "the answers as they are"
        )
