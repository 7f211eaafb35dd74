"""`progress()` in a notebook: every exercise, where it stands, and the next step."""

from collections.abc import Callable, Sequence
from typing import Any

from rlhf_course.display import in_notebook
from rlhf_course.errors import CourseError
from rlhf_course.notebook.exercise_progress import ExerciseProgress, next_step, passed
from rlhf_course.notebook.guide import as_text, print_progress, read_progress
from rlhf_course.notebook.messages import show_message
from rlhf_course.widgets.showing import Kept, escaped, show, words

# A sign beside each word, so that no colour has to be told from another.
_SIGNS = {"passed": "✓", "wrong": "✗", "error": "✗", "not checked": "?", "not attempted": "○"}
_COLOURS = {"passed": "0, 158, 115", "wrong": "213, 94, 0", "error": "213, 94, 0"}


def progress() -> None:
    """Show every exercise, where it stands, and the next step."""
    if not in_notebook():
        print_progress()
        return
    try:
        rows = read_progress()
    except CourseError as error:
        show_message(f"progress: {error}", status="error")
    else:
        show(lambda: _widget(read_progress), Kept(_page(rows, links=True), as_text(rows)))


def _widget(read: Callable[[], Sequence[ExerciseProgress]]) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import button

    page = ipw.HTML(_page(read()))

    def refresh(_: Any) -> None:
        page.value = _page(read())

    return ipw.VBox([page, ipw.HBox([button("Refresh", "Look again where each exercise stands", refresh)])])


def _page(progress_rows: Sequence[ExerciseProgress], links: bool = False) -> str:
    cell = 'style="padding: 2px 10px; text-align: left"'
    head = "".join(
        f'<th scope="col" {cell}>{name}</th>' for name in ("notebook", "exercise", "status", "hints open", "minutes")
    )
    rows = "".join(_row(one, cell, links) for one in progress_rows)
    bar = f'<progress max="{len(progress_rows)}" value="{passed(progress_rows)}" aria-label="exercises passed"></progress>'
    return (
        f"{bar} {words(f'<b>{escaped(next_step(progress_rows))}</b>')}"
        f'<table style="color: inherit; border-collapse: collapse; line-height: 1.5"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(one: ExerciseProgress, cell: str, links: bool) -> str:
    place = f"{one.notebook}.ipynb"
    notebook = f'<a href="{place}">{one.notebook}</a>' if links else one.notebook
    ground = f"background: rgba({_COLOURS.get(one.status, '128, 128, 128')}, 0.25); "
    status = f'<td style="{ground}padding: 2px 10px; text-align: left; white-space: nowrap">{_SIGNS[one.status]} {one.status}</td>'
    return (
        f'<tr><td {cell}>{notebook}</td><th scope="row" {cell}>{one.exercise}</th>{status}'
        f"<td {cell}>{one.hints_open} of {one.hints}</td><td {cell}>{one.minutes}</td></tr>"
    )
