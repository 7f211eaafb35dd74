"""Define the commands for authors, `rlhf-course build` and `rlhf-course new-exercise`."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import missing_extra
from rlhf_course.paths import REPOSITORY

_GUIDE = "docs/adding_an_exercise.md"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(build)
    app.command()(new_exercise)


def build(
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; name the files that differ, and exit with 1")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="overwrite work in notebooks/")] = False,
    outputs: Annotated[
        str | None, typer.Option(help="first run this notebook, e.g. 06_objective, and store its expected outputs")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="with --outputs: a folder of finished runs to show instead of training")
    ] = None,
    root: Annotated[Path, typer.Option(help="the repository")] = REPOSITORY,
) -> None:
    """Build notebooks/ and the data of the checks from solutions/ and the bank."""
    _require_jupytext("build")
    from rlhf_course.building.build import built_files, outdated_files, write_files

    if outputs is not None:
        from rlhf_course.building.outputs import make_outputs

        print(*make_outputs(root.resolve(), outputs, runs), sep="\n")
    files = built_files(root.resolve(), use_cache=not check)
    if not check:
        written = write_files(root.resolve(), files, force)
        print(f"{len(files)} files, {len(written)} of them written")
        return
    if outdated := outdated_files(root.resolve(), files):
        print("these files differ from a fresh build; run `rlhf-course build`:", *outdated, sep="\n  ")
        raise typer.Exit(1)
    print(f"{len(files)} files, all up to date")


def new_exercise(
    name: Annotated[str, typer.Argument(help="the function or class that learners write")],
    part: Annotated[str, typer.Option(help="the part that it belongs to")] = DEFAULT_PART.name,
    notebook: Annotated[
        str | None,
        typer.Option(
            help="number or name of the notebook that teaches it; by default the part's last with an exercise"
        ),
    ] = None,
    is_class: Annotated[bool, typer.Option("--class", help="the answer is a class")] = False,
    points: Annotated[int, typer.Option(min=1, help="points of its hidden tests together")] = 4,
) -> None:
    """Write the skeleton of a new exercise: its entry in the list, its files, and its cells in a notebook."""
    _require_jupytext("new-exercise")
    from rlhf_course.building.new_exercise import COURSE_LIST, add_exercise

    paths = add_exercise(Path.cwd(), name, part, notebook, is_class, points)
    course_list, source, *files = paths
    print(f"The skeleton of {name} is written. Changed files:", f"  {course_list}", f"  {source}", sep="\n")
    print("New files:", *(f"  {path}" for path in files), sep="\n")
    steps = [
        f"Write what the TODO: lines of these files ask for; {_GUIDE} shows each file.",
        f"Set difficulty, importance and minutes in {COURSE_LIST}, and in the section at the end of {source}.",
        "rlhf-course build",
        f"pytest tests/project/learner tests/project/grading/test_bank.py -k {name}",
        "rlhf-course grade solutions",
    ]
    print("Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1)), sep="\n")


def _require_jupytext(command: str) -> None:
    if importlib.util.find_spec("jupytext") is None:
        raise missing_extra(command, "build")
