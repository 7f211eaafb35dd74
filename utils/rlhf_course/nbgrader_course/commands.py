"""Define the command `rlhf-course new-course`, for instructors who use nbgrader."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import missing_extra


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("new-course")(new_course)


def new_course(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder")],
    course_id: Annotated[str, typer.Option(help="nbgrader's name for the course")] = "rlhf",
    exchange: Annotated[
        Path | None, typer.Option(help="folder shared with learners; by default exchange/ in DIR")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"a part to make an assignment of, or all; repeatable; by default {DEFAULT_PART.name}"),
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBERS",
            help="an assignment of some notebooks, such as week1=01,02,03; repeatable; by default each part is one",
        ),
    ] = None,
    course_file: Annotated[
        Path | None,
        typer.Option("--course", metavar="FILE", help="a course.toml; by default the one in DIR, or a new one"),
    ] = None,
) -> None:
    """Make an nbgrader course that autogrades with this course's judge."""
    if importlib.util.find_spec("nbgrader") is None:
        raise missing_extra("new-course", "nbgrader")
    from rlhf_course.nbgrader_course.assignments import parse_assignment
    from rlhf_course.nbgrader_course.new_course import new_course as make_course

    assignments = dict(map(parse_assignment, assignment or []))
    files = make_course(folder, course_id, exchange, part or (), course_file=course_file, assignments=assignments)
    print(f"{len(files)} files in {folder}. Next, in that folder:")
    for name in sorted({path.parts[1] for path in files if path.parts[0] == "source"}):
        print(f"  nbgrader generate_assignment {name}", f"  nbgrader release_assignment {name}", sep="\n")
    print(
        "Learners copy for_learners/nbgrader_config.py to the folder where their Jupyter starts. See "
        "docs/instructors_guide.md"
    )
