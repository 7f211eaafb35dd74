"""Results as a table: on the terminal, and as CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rlhf_course.files import write_text
from rlhf_course.grading.reports.summary import percent
from rlhf_course.grading.results import SubmissionResult

SYMBOLS = {"passed": "✓", "failed": "✗", "error": "!", "timeout": "…", "missing": "·"}
_COLOURS = {"passed": "green", "failed": "red", "error": "magenta", "timeout": "yellow", "missing": "dim"}
LEGEND = "in the order of `rlhf-course exercises`: " + ", ".join(
    f"{symbol} {status}" for status, symbol in SYMBOLS.items()
)


def terminal_table(results: Sequence[SubmissionResult]) -> Table:
    """A row a submission: score, what became of each exercise, the first that is not passed and how many more, warnings."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("submission", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("exercises", no_wrap=True)
    table.add_column("first not passed", overflow="fold")
    table.add_column("warnings", justify="right", no_wrap=True)
    for result in results:
        marks = Text(" ").join(Text(SYMBOLS[one.status], _COLOURS[one.status]) for one in result.exercises.values())
        score = f"{result.score:g} / {result.max_score:g}"
        table.add_row(Text(result.name), score, marks, _not_passed(result), str(len(result.warnings) or ""))
    return table


def _not_passed(result: SubmissionResult) -> Text:
    names = [name for name, one in result.exercises.items() if one.status != "passed"]
    return Text(" +".join([*names[:1], *([str(len(names) - 1)] if len(names) > 1 else [])]))


def write_csv(path: Path, results: Sequence[SubmissionResult]) -> None:
    """Write a row a submission.

    Columns: name, score, max_score, percent, seconds (of judging), warnings (one after the other, with " | " between),
    then for each exercise its score, under its name, and its status, under its name and " status".
    """

    names = list(dict.fromkeys(name for result in results for name in result.exercises))
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "name",
            "score",
            "max_score",
            "percent",
            "seconds",
            "warnings",
            *(f"{name}{what}" for name in names for what in ("", " status")),
        ]
    )
    for result in results:
        row = [
            _harmless(result.name),
            f"{result.score:g}",
            f"{result.max_score:g}",
            f"{percent(result):.1f}",
            f"{result.seconds:.2f}",
        ]
        row.append(_harmless(" | ".join(result.warnings)))
        for name in names:
            one = result.exercises.get(name)
            row += [f"{one.score:g}", one.status] if one is not None else ["", ""]
        writer.writerow(row)
    write_text(path, file.getvalue())


def _harmless(text: str) -> str:
    """A stranger's text that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
