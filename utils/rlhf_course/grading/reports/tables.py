"""Write results as a table on the terminal and as CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rlhf_course.files import escape_formula, write_text
from rlhf_course.grading.reports.summary import percent
from rlhf_course.grading.results import State, SubmissionResult

SYMBOLS: dict[State, str] = {
    "passed": "✓",
    "failed": "✗",
    "error": "!",
    "timeout": "…",
    "unfinished": "◐",
    "missing": "·",
    "unreadable": "?",
}
_COLOURS = {
    "passed": "green",
    "failed": "red",
    "error": "magenta",
    "timeout": "yellow",
    "unfinished": "blue",
    "missing": "dim",
    "unreadable": "cyan",
}
LEGEND = "in the order of `rlhf-course exercises`: " + ", ".join(
    f"{symbol} {state}" for state, symbol in SYMBOLS.items()
)


def terminal_table(results: Sequence[SubmissionResult]) -> Table:
    """Return a table with a row for each submission.

    Columns: name, score, a symbol for the state of each exercise, the first exercise that is not passed with the
    number of further ones, and the number of warnings.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("submission", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("exercises", no_wrap=True)
    table.add_column("first not passed", overflow="fold")
    table.add_column("warnings", justify="right", no_wrap=True)
    for result in results:
        states = [exercise.state for exercise in result.exercises.values()]
        symbols = Text(" ").join(Text(SYMBOLS[state], _COLOURS[state]) for state in states)
        score = f"{result.score:.10g} / {result.max_score:.10g}"
        table.add_row(Text(result.name), score, symbols, _not_passed(result), str(len(result.warnings) or ""))
    return table


def _not_passed(result: SubmissionResult) -> Text:
    names = [name for name, exercise in result.exercises.items() if exercise.status != "passed"]
    return Text(" +".join([*names[:1], *([str(len(names) - 1)] if len(names) > 1 else [])]))


def write_csv(path: Path, results: Sequence[SubmissionResult]) -> None:
    """Write a row for each submission to a CSV file.

    Columns: name, score, max_score, percent, seconds (of grading), warnings (separated by " | "), and for each exercise
    its score, under its name, and its state, under its name and " status". Where somebody was late, the last columns
    are late_penalty and mark, which is the score without the penalty.
    """
    exercises = list(dict.fromkeys(name for result in results for name in result.exercises))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    columns = ["name", "score", "max_score", "percent", "seconds", "warnings"]
    columns += [f"{name}{suffix}" for name in exercises for suffix in ("", " status")]
    is_late = any(result.late_penalty for result in results)
    writer.writerow([*columns, *(["late_penalty", "mark"] if is_late else [])])
    for result in results:
        late = [f"{result.late_penalty:.10g}", f"{result.mark:.10g}"] if is_late else []
        writer.writerow([*_csv_row(result, exercises), *late])
    write_text(path, file.getvalue())


def _csv_row(result: SubmissionResult, exercises: Sequence[str]) -> list[str]:
    row = [
        escape_formula(result.name),
        f"{result.score:.10g}",
        f"{result.max_score:.10g}",
        f"{percent(result):.1f}",
        f"{result.seconds:.2f}",
        escape_formula(" | ".join(result.warnings)),
    ]
    for name in exercises:
        exercise = result.exercises.get(name)
        row += ["", ""] if exercise is None else [f"{exercise.score:.10g}", exercise.state]
    return row
