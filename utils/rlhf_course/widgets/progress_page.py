"""Show `progress()` in a notebook: the status of every exercise, and the next step."""

from collections.abc import Callable, Sequence
from typing import Any

from rlhf_course.display import in_notebook
from rlhf_course.errors import CourseError
from rlhf_course.notebook.exercise_progress import ExerciseProgress, next_step, passed, read_progress
from rlhf_course.notebook.guide import as_text, print_progress
from rlhf_course.notebook.messages import show_message
from rlhf_course.widgets.output import StaticOutput, escape_html, show, status_html

# Each status has a sign, so that it can be read without its colour.
_SIGNS = {"passed": "✓", "wrong": "✗", "error": "✗", "not checked": "?", "not attempted": "○"}
_COLOURS = {"passed": "0, 158, 115", "wrong": "213, 94, 0", "error": "213, 94, 0"}


def progress() -> None:
    """Show the status of every exercise, and the next step."""
    if not in_notebook():
        print_progress()
        return
    try:
        rows = read_progress()
    except CourseError as error:
        show_message(f"progress: {error}", status="error")
    else:
        show(lambda: _widget(read_progress), StaticOutput(_page(rows, links=True), as_text(rows)))


def _widget(read_rows: Callable[[], Sequence[ExerciseProgress]]) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import button

    page = ipw.HTML(_page(read_rows()))

    def refresh(_: Any) -> None:
        page.value = _page(read_rows())

    return ipw.VBox([page, ipw.HBox([button("Refresh", "Read the status of each exercise again", refresh)])])


def _page(progress_rows: Sequence[ExerciseProgress], links: bool = False) -> str:
    cell = 'style="padding: 2px 10px; text-align: left"'
    head = "".join(
        f'<th scope="col" {cell}>{name}</th>' for name in ("notebook", "exercise", "status", "hints open", "minutes")
    )
    rows = "".join(_row(row, cell, links) for row in progress_rows)
    bar = f'<progress max="{len(progress_rows)}" value="{passed(progress_rows)}" aria-label="exercises passed">'
    return (
        f"{bar}</progress> {status_html(f'<b>{escape_html(next_step(progress_rows))}</b>')}"
        '<table style="color: inherit; border-collapse: collapse; line-height: 1.5">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(row: ExerciseProgress, cell: str, links: bool) -> str:
    notebook = f'<a href="{row.notebook}.ipynb">{row.notebook}</a>' if links else row.notebook
    background = f"background: rgba({_COLOURS.get(row.status, '128, 128, 128')}, 0.25)"
    status = (
        f'<td style="{background}; padding: 2px 10px; text-align: left; white-space: nowrap">'
        f"{_SIGNS[row.status]} {row.status}</td>"
    )
    return (
        f'<tr><td {cell}>{notebook}</td><th scope="row" {cell}>{row.exercise}</th>{status}'
        f"<td {cell}>{row.hints_text}</td><td {cell}>{row.minutes}</td></tr>"
    )
