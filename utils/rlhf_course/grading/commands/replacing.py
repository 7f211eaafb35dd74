"""List the marks that differ from those that a file of results holds, and decide whether to replace them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console

from rlhf_course.errors import CourseError
from rlhf_course.grading.reports.changes import print_changes
from rlhf_course.grading.results import GradeReport


def earlier_results(json_file: Path | None) -> GradeReport | None:
    """Return the results that a file holds, which the command will replace; None if there is no file, or it is empty.

    Raises:
        CourseError: The file cannot be read, or holds something else, which would be lost.
    """
    try:
        content = b"" if json_file is None else json_file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CourseError(f"{json_file} cannot be written: {error.strerror}") from error
    if not content.strip():
        return None
    try:
        return GradeReport.model_validate_json(content)
    except ValueError as error:
        message = f"{json_file} holds something else than results, which would be lost: name another file, or remove it"
        raise CourseError(message) from error


def may_replace(earlier: GradeReport, grades: GradeReport, replace_results: bool, console: Console) -> bool:
    """Return whether to write new results over earlier ones.

    They are written if the course, its secret and the hidden tests are the same. Otherwise the marks that differ are
    printed. The new ones are written if there are none, if an option says so, or if the user at a terminal does.
    """
    reasons = list(_differences(earlier, grades))
    if not reasons:
        return True
    for reason in reasons:
        console.print(f"the earlier results were graded with {reason}", markup=False, highlight=False, soft_wrap=True)
    if not print_changes(earlier.submissions, grades.submissions, console):
        console.print("no mark differs from those that the file holds")
        return True
    if replace_results:
        return True
    if console.is_terminal and sys.stdin.isatty():
        return typer.confirm("write the new marks?", err=True)
    console.print("nothing was written: add --replace to write the new marks", style="red")
    return False


def _differences(earlier: GradeReport, grades: GradeReport) -> Iterator[str]:
    """Yield what makes marks differ though nothing else was handed in."""
    if earlier.secret != grades.secret:
        yield f"another secret ({earlier.secret}): its inputs, and so its marks, may differ"
    if earlier.suite != grades.suite:
        known = earlier.suite or "older than this record"
        yield f"other hidden tests, or another judge ({known}): its marks may differ"
    if earlier.course != grades.course:
        known = "other settings in course.toml" if earlier.course else "settings in course.toml that are not recorded"
        yield f"{known}: points, exercises left out, full marks, due dates, late rule or extensions may differ"
    now = {result.name: result.handed_in for result in grades.submissions}
    if any(result.handed_in and result.name in now and not now[result.name] for result in earlier.submissions):
        yield "times of handing in that are not known now: --submitted names the table that has them"
