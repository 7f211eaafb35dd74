"""`hint` and `progress`: the next word of advice, and where the learner stands."""

from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.exercises import EXERCISES, Exercise
from rlhf_course.notebook import desk
from rlhf_course.notebook.judging import NOT_ATTEMPTED, PASSED, checks_of
from rlhf_course.notebook.show import console, say
from rlhf_course.notebook.state import changed_state, part, read_state

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
    from rich.table import Table

    try:
        state = read_state(desk.find_desk())
    except CourseError as error:
        say(f"progress: {error}", status="error")
        return
    table = Table(box=None, header_style="bold", title="Your course", title_justify="left")
    for heading in ("notebook", "exercise", "status", "hints", "minutes"):
        table.add_column(heading, no_wrap=True)
    standing = {exercise: status_of(exercise, state) for exercise in EXERCISES}
    for exercise, status in standing.items():
        colour = {"passed": "green", "wrong": "red", "error": "red"}.get(status, "yellow")
        hints = f"{part(state, 'hints').get(exercise.name, 0)} of {len(checks_of(exercise).HINTS)}"
        minutes = "-".join(map(str, dict.fromkeys(exercise.minutes)))
        table.add_row(exercise.notebook, exercise.name, f"[{colour}]{status}[/]", hints, minutes)
    console(width=110).print(table)
    say(_next_step(standing))


def _next_step(standing: dict[Exercise, str]) -> str:
    done = sum(status == PASSED for status in standing.values())
    for exercise, status in standing.items():
        if status != PASSED:
            step = f"check({exercise.name!r})" if status == _NOT_CHECKED else exercise.name
            return f"{done} of {len(standing)} passed. Next: {step}, in {exercise.notebook}.ipynb"
    return f"All {done} passed."
