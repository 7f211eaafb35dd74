"""Open the hints of an exercise, show the course's answer, and report the learner's progress."""

import copy
from typing import TYPE_CHECKING, Any

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook import workspace
from rlhf_course.notebook.exercise_progress import (
    PASSED,
    ExerciseProgress,
    checks_of,
    next_step,
    read_progress,
    status_of,
)
from rlhf_course.notebook.messages import console, show_message
from rlhf_course.notebook.progress_file import changed_state, read_state, section
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import BEGIN, END

if TYPE_CHECKING:
    from rich.table import Table


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
        answer = [f"The answer: solution({exercise.name!r})"] if has_solution(exercise) else []
        show_message(f"{exercise.name}: all hints are open.", *numbered, *answer)
        return
    more = len(hints) - opened - 1
    show_message(f"{exercise.name}, hint {opened + 1} of {len(hints)}: {hints[opened]}")
    if more:
        show_message(f"({more} more: call hint again)")
    elif has_solution(exercise):
        show_message(f"(That was the last one. The answer: solution({exercise.name!r}))")


def has_solution(exercise: Exercise) -> bool:
    """Return whether the course's answer is here: a clone and the self-study bundle hold the answers."""
    return (SOLUTIONS / exercise.path).is_file()


def solution(name_or_object: Any) -> None:
    """Show the course's answer to an exercise, once all hints are open or the exercise passes, and record that.

    Args:
        name_or_object: The exercise's name, or the function or class that answers it.
    """
    try:
        exercise = workspace.exercise_of(name_or_object)
        hints = len(checks_of(exercise).HINTS)
        if not has_solution(exercise):
            raise CourseError(
                f"the course's answers are not in this folder; hint({exercise.name!r}) opens the next hint of {hints}"
            )
        folder = workspace.find_workspace() / exercise.part
        state = read_state(folder)
        closed = hints - section(state, "hints").get(exercise.name, 0)
        if closed > 0 and status_of(exercise, state) != PASSED:
            raise CourseError(
                f"the answer to {exercise.name} is shown when all hints are open; "
                f"hint({exercise.name!r}) opens the next of {closed}"
            )
        with changed_state(folder) as state:
            section(state, "solutions")[exercise.name] = True
    except CourseError as error:
        show_message(f"solution: {error}", status="error")
        return
    text = (SOLUTIONS / exercise.path).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() not in (BEGIN, END)]
    show_message(f"{exercise.name}: the course's answer.", *lines)


def inputs_of(name_or_object: Any, case: str = "") -> list[Any]:
    """Return the input of a case of a check, to call an answer with: `calc_kl_penalty(*inputs_of(..., "batch"))`.

    Args:
        name_or_object: The exercise's name, or the function that answers it.
        case: The name of the case, as the message of `check` has it; the first case if it is left out.

    Returns:
        The arguments in their order; a new copy in each call.

    Raises:
        CourseError: There is no such exercise or case, or the check does more than call the answer with arguments.
    """
    exercise = workspace.exercise_of(name_or_object)
    check = checks_of(exercise).CHECK
    if not check.is_called_with_inputs:
        raise CourseError(
            f"the check of {exercise.name} builds models and calls the answer with them, so it has no input to pass on"
        )
    cases = check.cases
    name = case or next(iter(cases))
    if name not in cases:
        raise CourseError(f"the check of {exercise.name} has no case {case!r}; it has {', '.join(cases)}")
    return copy.deepcopy(list(cases[name].inputs.values()))


def print_progress() -> None:
    """Print every exercise with its status, and the next step."""
    try:
        progress_rows = read_progress()
    except CourseError as error:
        show_message(f"progress: {error}", status="error")
    else:
        console(width=110).print(_as_table(progress_rows))
        show_message(next_step(progress_rows))


def _as_table(progress_rows: list[ExerciseProgress]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", title="Your course", title_justify="left")
    for heading in ("notebook", "exercise", "status", "hints", "minutes"):
        table.add_column(heading, no_wrap=True)
    for row in progress_rows:
        colour = {"passed": "green", "wrong": "red", "error": "red"}.get(row.status, "yellow")
        table.add_row(row.notebook, row.exercise, f"[{colour}]{row.status}[/]", row.hints_text, row.minutes)
    return table


def as_text(progress_rows: list[ExerciseProgress]) -> str:
    """Return the progress as plain text, a line for each exercise."""
    lines = [f"{row.notebook:<28}{row.exercise:<32}{row.status:<15}hints {row.hints_text}" for row in progress_rows]
    return "\n".join([*lines, next_step(progress_rows)])
