"""List the marks that differ from those that a file of results holds, and decide whether to replace them."""

import sys
from pathlib import Path

import typer
from rich.console import Console

from rlhf_course.grading.reports.changes import changed_marks, changes_table
from rlhf_course.grading.results import GradeReport
from rlhf_course.grading.secret import Secret


def graded_otherwise(json_file: Path | None, secret: Secret, suite: str, console: Console) -> GradeReport | None:
    """Return the results in a file if another secret or another suite gave them, and print which; otherwise None."""
    try:
        earlier = None if json_file is None else GradeReport.model_validate_json(json_file.read_bytes())
    except (OSError, ValueError):
        return None
    if earlier is None or (earlier.secret, earlier.suite) == (secret.fingerprint, suite):
        return None
    if earlier.secret == secret.fingerprint:
        what = (
            f"other hidden tests, or another judge ({earlier.suite or 'older than this record'}): its marks may differ"
        )
    else:
        what = f"another secret ({earlier.secret}): its inputs, and so its marks, may differ"
    console.print(f"{json_file} was graded with {what}", markup=False, highlight=False)
    return earlier


def may_replace(earlier: GradeReport, grades: GradeReport, replace_results: bool, console: Console) -> bool:
    """Print whose marks differ from earlier ones, and return whether to write the new ones.

    They are written if no mark differs, if an option says so, or if the user at a terminal does.
    """
    changes = changed_marks(earlier.submissions, grades.submissions)
    if not changes:
        console.print("no mark differs from those that the file holds")
        return True
    console.print(changes_table(changes))
    learners = len({change.learner for change in changes})
    console.print(f"marks of {learners} learners differ from those that the file holds", highlight=False)
    if replace_results:
        return True
    if console.is_terminal and sys.stdin.isatty():
        return typer.confirm("write the new marks?", err=True)
    console.print("nothing was written: add --replace to write the new marks", style="red")
    return False
