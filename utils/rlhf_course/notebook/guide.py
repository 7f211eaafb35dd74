"""Open the hints of an exercise, and report the learner's progress."""

from typing import TYPE_CHECKING, Any

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import parts_in
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import NOT_ATTEMPTED, checks_of
from rlhf_course.notebook.exercise_progress import ExerciseProgress, next_step
from rlhf_course.notebook.messages import console, show_message
from rlhf_course.notebook.progress_file import changed_state, read_state, section
from rlhf_course.stubs import is_stub

if TYPE_CHECKING:
    from rich.table import Table

_NOT_CHECKED = "not checked"


def hint(name_or_object: Any) -> None:
    """Open the next hint of an exercise: first the idea, then the shapes, then almost the code.

    If all hints are open already, all of them are shown.

    Args:
        name_or_object: The exercise's name, or the function or class that answers it.
    """
    try:
        exercise = workspace.exercise_of(name_or_object)
        hints = checks_of(exercise).HINTS
        with changed_state(workspace.find_workspace() / exercise.part) as state:
            opened = section(state, "hints").get(exercise.name, 0)
            section(state, "hints")[exercise.name] = min(opened + 1, len(hints))
    except CourseError as error:
        show_message(f"hint: {error}", status="error")
        return
    if opened >= len(hints):
        numbered = [f"{number}. {text}" for number, text in enumerate(hints, 1)]
        show_message(f"{exercise.name}: all hints are open.", *numbered)
        return
    more = len(hints) - opened - 1
    show_message(f"{exercise.name}, hint {opened + 1} of {len(hints)}: {hints[opened]}")
    if more:
        show_message(f"({more} more: call hint again)")


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


def print_progress() -> None:
    """Print every exercise with its status, and the next step."""
    try:
        progress_rows = read_progress()
    except CourseError as error:
        show_message(f"progress: {error}", status="error")
    else:
        console(width=110).print(_as_table(progress_rows))
        show_message(next_step(progress_rows))


def read_progress() -> list[ExerciseProgress]:
    """Return the progress in each exercise of the workspace's parts.

    Raises:
        CourseError: There is no workspace.
    """
    home = workspace.find_workspace()
    states = {part.name: read_state(home / part.name) for part in parts_in(home)}
    return [
        ExerciseProgress(
            notebook=exercise.notebook,
            exercise=exercise.name,
            status=status_of(exercise, states[exercise.part]),
            hints_open=section(states[exercise.part], "hints").get(exercise.name, 0),
            hints=len(checks_of(exercise).HINTS),
            minutes=exercise.minutes_text,
        )
        for exercise in workspace.exercises_in(home)
    ]


def _as_table(progress_rows: list[ExerciseProgress]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", title="Your course", title_justify="left")
    for heading in ("notebook", "exercise", "status", "hints", "minutes"):
        table.add_column(heading, no_wrap=True)
    for row in progress_rows:
        colour = {"passed": "green", "wrong": "red", "error": "red"}.get(row.status, "yellow")
        table.add_row(
            row.notebook, row.exercise, f"[{colour}]{row.status}[/]", f"{row.hints_open} of {row.hints}", row.minutes
        )
    return table


def as_text(progress_rows: list[ExerciseProgress]) -> str:
    """Return the progress as plain text, a line for each exercise."""
    lines = [
        f"{row.notebook:<28}{row.exercise:<32}{row.status:<15}hints {row.hints_open} of {row.hints}"
        for row in progress_rows
    ]
    return "\n".join([*lines, next_step(progress_rows)])
