"""Read the progress of a learner in each exercise, and name the next step."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

from rlhf_course.course import Exercise
from rlhf_course.learner_package import parts_in
from rlhf_course.notebook import workspace
from rlhf_course.notebook.progress_file import read_state, section
from rlhf_course.stubs import is_given, is_stub

NOT_ATTEMPTED, ERROR, WRONG, PASSED = "not attempted", "error", "wrong", "passed"
_NOT_CHECKED = "not checked"


class ExerciseProgress(NamedTuple):
    """The progress of a learner in one exercise.

    Attributes:
        notebook: The notebook that teaches the exercise.
        exercise: The exercise's name.
        status: One of "passed", "wrong", "error", "not attempted" and "not checked".
        hints_open: The number of hints that are open.
        hints: The number of hints that there are.
        minutes: How long the exercise takes, such as "10-15".
        solution_shown: Whether `solution` has shown the course's answer.
    """

    notebook: str
    exercise: str
    status: str
    hints_open: int
    hints: int
    minutes: str
    solution_shown: bool = False

    @property
    def hints_text(self) -> str:
        """The hints as a table shows them, such as "2 of 3", or "3 of 3, answer" if the answer was shown too."""
        return f"{self.hints_open} of {self.hints}{', answer' if self.solution_shown else ''}"


def checks_of(exercise: Exercise) -> ModuleType:
    """Return the module that holds an exercise's cases, tests and hints."""
    return importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}")


def read_progress() -> list[ExerciseProgress]:
    """Return the progress in each exercise of the workspace's parts, without those that the course leaves out.

    Raises:
        CourseError: There is no workspace.
    """
    home = workspace.find_workspace()
    states = {part.name: read_state(home / part.name) for part in parts_in(home)}
    return [
        _progress_of(exercise, states[exercise.part])
        for exercise in workspace.exercises_in(home)
        if not is_given(workspace.read_answer(exercise))
    ]


def _progress_of(exercise: Exercise, state: dict[str, Any]) -> ExerciseProgress:
    return ExerciseProgress(
        notebook=exercise.notebook,
        exercise=exercise.name,
        status=status_of(exercise, state),
        hints_open=section(state, "hints").get(exercise.name, 0),
        hints=len(checks_of(exercise).HINTS),
        minutes=exercise.minutes_text,
        solution_shown=bool(section(state, "solutions").get(exercise.name)),
    )


def status_of(exercise: Exercise, state: dict[str, Any]) -> str:
    """Return the status of an exercise: that of its last check, unless the file has changed since.

    Args:
        exercise: The exercise.
        state: The record of the exercise's part, as `read_state` returns it.
    """
    record = section(state, "exercises", exercise.name)
    text = workspace.read_answer(exercise)
    if is_stub(exercise, text):
        return NOT_ATTEMPTED
    return str(record.get("status", _NOT_CHECKED)) if record.get("text") == workspace.digest(text) else _NOT_CHECKED


def passed(progress_rows: Sequence[ExerciseProgress]) -> int:
    """Count the exercises that have passed."""
    return sum(row.status == PASSED for row in progress_rows)


def next_step(progress_rows: Sequence[ExerciseProgress]) -> str:
    """Return a sentence that names the next exercise.

    It is the first open one behind all that have passed, so that a learner can leave one out; then the first open one.
    """
    done = [index for index, row in enumerate(progress_rows) if row.status == PASSED]
    furthest = max(done, default=-1) + 1
    for row in (*progress_rows[furthest:], *progress_rows[:furthest]):
        if row.status != PASSED:
            step = f"check({row.exercise!r})" if row.status == _NOT_CHECKED else row.exercise
            return f"{len(done)} of {len(progress_rows)} passed. Next: {step}, in {row.notebook}.ipynb"
    return f"All {len(done)} passed."
