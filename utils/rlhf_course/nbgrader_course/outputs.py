"""Make the outputs of cells: keep the expected outputs in a release, and show the judge's results."""

import html
from collections.abc import Sequence
from typing import Any

from nbformat.v4 import new_output
from nbgrader.preprocessors import ClearOutput

from rlhf_course.grading.results import ExerciseResult, TestResult

_SIGNS = {"passed": "✓", "failed": "✗", "error": "✗", "timeout": "✗", "missing": "✗", "unreadable": "✗"}
_WORDS = {
    "passed": "passed",
    "failed": "not right yet",
    "error": "raised an error",
    "timeout": "took too long",
    "unfinished": "a part of it is not written",
    "missing": "nothing was handed in",
    "unreadable": "what was handed in could not be read",
}
_CELL = "text-align: left; vertical-align: top; padding: 0.1em 1em 0.1em 0"
_HEAD = (
    "<tr>" + "".join(f'<th style="{_CELL}">{text}</th>' for text in ("", "hidden test", "points", "result")) + "</tr>"
)
_SPECIAL = "\\`*_{}[]()#!|$~&<>\"'"


class ClearOutputButExpected(ClearOutput):
    """Clear all outputs except those that the course shows as expected outputs."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Clear one cell; see the class."""
        expected = [output for output in cell.get("outputs", []) if output.get("metadata", {}).get("expected")]
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.cell_type == "code":
            cell.outputs = expected
        return cell, resources


def judged_output(result: ExerciseResult, points: float) -> Any:
    """Return the output of the cell with an exercise's check.

    nbgrader reads the score from the output's plain text; people read its table.

    Args:
        result: The result of the exercise.
        points: The points of the cell in this course, to which the score is scaled.
    """
    result = result.scaled(points)
    # If there is no answer, each test would only repeat the heading.
    rows = [] if result.state in ("missing", "unreadable") else [_row(test) for test in result.tests]
    head = f"<p><b>{_WORDS[result.state]}</b>: {_number(result.score)} of {_number(points)} points</p>"
    mistake = [f"<p>It behaves like a known mistake: {html.escape(result.mistake)}</p>"] if result.mistake else []
    table = ["<table>", _HEAD, *rows, "</table>"] if rows else []
    return _score_output(result.score, "\n".join([head, *mistake, *table]))


def unjudged_output(reason: str) -> Any:
    """Return the output of the cell with a check that was not judged: the reason, and no points for now."""
    text = f"<p><b>Not judged.</b> {html.escape(reason)} There are no points until a person has graded it.</p>"
    return _score_output(0.0, text)


def notes_cell(notes: Sequence[str]) -> str:
    """Return the text of the Markdown cell of notes at the top of a notebook."""
    return "\n".join(["**Notes from grading**", "", "<ul>", *(f"<li>{_escaped(note)}</li>" for note in notes), "</ul>"])


def _row(test: TestResult) -> str:
    message = html.escape(test.message).replace("\n", "<br/>")
    gained = test.points if test.status == "passed" else 0.0
    cells = (
        _SIGNS[test.status],
        html.escape(test.name),
        f"{_number(gained)} / {_number(test.points)}",
        message or _WORDS[test.status],
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _score_output(score: float, text: str) -> Any:
    return new_output(
        "execute_result", data={"text/plain": f"{score:g}" if score == int(score) else repr(score), "text/html": text}
    )


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _escaped(text: str) -> str:
    """Escape the characters of a text that have a meaning in HTML or Markdown."""
    return "".join(f"&#{ord(sign)};" if sign in _SPECIAL else sign for sign in " ".join(text.split()))
