"""The commands that make what is handed out."""

from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.errors import CourseError


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(release)


def release(
    bundle: Annotated[Path | None, typer.Option(metavar="FILE.zip", help="what a learner needs outside nbgrader")] = None,
    gradescope: Annotated[Path | None, typer.Option(metavar="FILE.zip", help="an autograder for Gradescope; it holds the hidden tests")] = None,
) -> None:
    """Make a learner's bundle or an autograder for Gradescope."""
    from rlhf_course.releasing.bundle import write_bundle
    from rlhf_course.releasing.gradescope import write_autograder

    if bundle is None and gradescope is None:
        raise CourseError("name what to make: --bundle FILE.zip or --gradescope FILE.zip")
    if bundle is not None:
        print(f"{bundle}: {write_bundle(bundle)} files for learners, searched for answers, known mistakes and hidden tests: none")
    if gradescope is not None:
        print(f"{gradescope}: {write_autograder(gradescope)} files for Gradescope; not for learners")
