"""Define the commands `rlhf-course grade` and `rlhf-course report`."""

import typer

from rlhf_course.grading.commands.examples import EXAMPLES, grade_examples
from rlhf_course.grading.commands.grade_command import grade
from rlhf_course.grading.commands.report_command import report

__all__ = ["EXAMPLES", "grade", "grade_examples", "register", "report"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(grade)
    app.command()(report)
