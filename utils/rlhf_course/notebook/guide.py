"""`hint` and `progress`: the next word of advice, and where the learner stands."""

from typing import TYPE_CHECKING, Any

from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import NOT_ATTEMPTED, checks_of
from rlhf_course.notebook.exercise_progress import ExerciseProgress, next_step
from rlhf_course.notebook.messages import console, show_message
from rlhf_course.notebook.progress_file import changed_state, part, read_state
from rlhf_course.stubs import is_stub

if TYPE_CHECKING:
    from rich.table import Table

_NOT_CHECKED = "not checked"


def hint(name_or_object: Any) -> None:
    """Open the next hint of an exercise: first the idea, then the shapes, then almost the code.

    Once all are open, they are all shown.
    """
    try:
        exercise = workspace.exercise_of(name_or_object)
        hints = checks_of(exercise).HINTS
        with changed_state(workspace.find_workspace()) as state:
            opened = part(state, "hints").get(exercise.name, 0)
            part(state, "hints")[exercise.name] = min(opened + 1, len(hints))
    except CourseError as error:
        show_message(f"hint: {error}", status="error")
        return
    if opened >= len(hints):
        show_message(
            f"{exercise.name}: all hints are open.", *[f"{number}. {one}" for number, one in enumerate(hints, 1)]
        )
        return
    more = len(hints) - opened - 1
    show_message(f"{exercise.name}, hint {opened + 1} of {len(hints)}: {hints[opened]}")
    if more:
        show_message(f"({more} more: call hint again)")


def status_of(exercise: Exercise, state: dict[str, Any]) -> str:
    """Where an exercise stands: its last check, as long as the file is what was checked."""
    record = part(state, "exercises", exercise.name)
    text = workspace.read_answer(exercise)
    if is_stub(exercise, text):
        return NOT_ATTEMPTED
    return record.get("status", _NOT_CHECKED) if record.get("text") == workspace.digest(text) else _NOT_CHECKED


def print_progress() -> None:
    """Print every exercise, where it stands, and the next step."""
    try:
        progress_rows = read_progress()
    except CourseError as error:
        show_message(f"progress: {error}", status="error")
    else:
        console(width=110).print(_as_table(progress_rows))
        show_message(next_step(progress_rows))


def read_progress() -> list[ExerciseProgress]:
    """Where each exercise stands.

    Raises:
        CourseError: there is no desk here.
    """
    state = read_state(workspace.find_workspace())
    return [
        ExerciseProgress(
            notebook=exercise.notebook,
            exercise=exercise.name,
            status=status_of(exercise, state),
            hints_open=part(state, "hints").get(exercise.name, 0),
            hints=len(checks_of(exercise).HINTS),
            minutes="-".join(map(str, dict.fromkeys(exercise.minutes))),
        )
        for exercise in EXERCISES
    ]


def _as_table(progress_rows: list[ExerciseProgress]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", title="Your course", title_justify="left")
    for heading in ("notebook", "exercise", "status", "hints", "minutes"):
        table.add_column(heading, no_wrap=True)
    for one in progress_rows:
        colour = {"passed": "green", "wrong": "red", "error": "red"}.get(one.status, "yellow")
        table.add_row(
            one.notebook, one.exercise, f"[{colour}]{one.status}[/]", f"{one.hints_open} of {one.hints}", one.minutes
        )
    return table


def as_text(progress_rows: list[ExerciseProgress]) -> str:
    lines = [
        f"{one.notebook:<28}{one.exercise:<32}{one.status:<15}hints {one.hints_open} of {one.hints}"
        for one in progress_rows
    ]
    return "\n".join([*lines, next_step(progress_rows)])
