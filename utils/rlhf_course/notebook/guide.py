"""`hint` and `progress`: the next word of advice, and where the learner stands."""

from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.exercises import EXERCISES, Exercise
from rlhf_course.notebook import desk
from rlhf_course.notebook.judging import NOT_ATTEMPTED, checks_of
from rlhf_course.notebook.show import console, say
from rlhf_course.notebook.state import changed_state, part, read_state
from rlhf_course.widgets.numbers.standing import Standing, next_step
from rlhf_course.widgets.progress_page import progress_page
from rlhf_course.widgets.showing import in_notebook

if TYPE_CHECKING:
    from rich.table import Table

_NOT_CHECKED = "not checked"


def hint(name_or_object: Any) -> None:
    """Open the next hint of an exercise: first the idea, then the shapes, then almost the code.

    Once all are open, they are all shown.
    """
    try:
        exercise = desk.exercise_of(name_or_object)
        hints = checks_of(exercise).HINTS
        with changed_state(desk.find_desk()) as state:
            opened = part(state, "hints").get(exercise.name, 0)
            part(state, "hints")[exercise.name] = min(opened + 1, len(hints))
    except CourseError as error:
        say(f"hint: {error}", status="error")
        return
    if opened >= len(hints):
        say(f"{exercise.name}: all hints are open.", *[f"{number}. {one}" for number, one in enumerate(hints, 1)])
        return
    more = len(hints) - opened - 1
    say(f"{exercise.name}, hint {opened + 1} of {len(hints)}: {hints[opened]}")
    if more:
        say(f"({more} more: call hint again)")


def status_of(exercise: Exercise, state: dict[str, Any]) -> str:
    """Where an exercise stands: its last check, as long as the file is what was checked."""
    record = part(state, "exercises", exercise.name)
    text = desk.read_answer(exercise)
    if desk.is_stub(exercise, text):
        return NOT_ATTEMPTED
    return record.get("status", _NOT_CHECKED) if record.get("text") == desk.digest(text) else _NOT_CHECKED


def progress() -> None:
    """Show every exercise, where it stands, and the next step."""
    try:
        standings = read_standings()
    except CourseError as error:
        say(f"progress: {error}", status="error")
    else:
        if in_notebook():
            progress_page(read_standings, _as_text(standings))
        else:
            console(width=110).print(_as_table(standings))
            say(next_step(standings))


def read_standings() -> list[Standing]:
    """Where each exercise stands.

    Raises:
        CourseError: there is no desk here.
    """
    state = read_state(desk.find_desk())
    return [
        Standing(
            notebook=exercise.notebook,
            exercise=exercise.name,
            status=status_of(exercise, state),
            hints_open=part(state, "hints").get(exercise.name, 0),
            hints=len(checks_of(exercise).HINTS),
            minutes="-".join(map(str, dict.fromkeys(exercise.minutes))),
        )
        for exercise in EXERCISES
    ]


def _as_table(standings: list[Standing]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", title="Your course", title_justify="left")
    for heading in ("notebook", "exercise", "status", "hints", "minutes"):
        table.add_column(heading, no_wrap=True)
    for one in standings:
        colour = {"passed": "green", "wrong": "red", "error": "red"}.get(one.status, "yellow")
        table.add_row(
            one.notebook, one.exercise, f"[{colour}]{one.status}[/]", f"{one.hints_open} of {one.hints}", one.minutes
        )
    return table


def _as_text(standings: list[Standing]) -> str:
    lines = [
        f"{one.notebook:<28}{one.exercise:<32}{one.status:<15}hints {one.hints_open} of {one.hints}"
        for one in standings
    ]
    return "\n".join([*lines, next_step(standings)])
