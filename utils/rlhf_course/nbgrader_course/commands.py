"""The commands of an instructor who uses nbgrader."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.errors import missing_extra


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("new-course")(new_course)


def new_course(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder")],
    course_id: Annotated[str, typer.Option(help="nbgrader's name for the course")] = "rlhf",
    exchange: Annotated[
        Path | None, typer.Option(help="folder shared with learners; by default exchange/ in DIR")
    ] = None,
) -> None:
    """Make an nbgrader course, whose autograding is done by this course's judge."""
    if importlib.util.find_spec("nbgrader") is None:
        raise missing_extra("new-course", "nbgrader")
    from rlhf_course.nbgrader_course import new_course as making

    files = making.new_course(folder, course_id, exchange)
    print(f"{len(files)} files in {folder}. Next, in that folder:")
    print(
        f"  nbgrader generate_assignment {making.ASSIGNMENT}",
        f"  nbgrader release_assignment {making.ASSIGNMENT}",
        sep="\n",
    )
    print(
        "Learners put for_learners/nbgrader_config.py where their Jupyter starts. The guide: docs/instructors_guide.md"
    )
