"""The command line for what is handed out: `release` and `marks`."""

from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.course import DEFAULT_PART, select_parts
from rlhf_course.errors import CourseError


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(release)
    app.command()(marks)


def release(
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="what a learner needs outside nbgrader")
    ] = None,
    gradescope: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="an autograder for Gradescope; it holds the hidden tests")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help=f"a part to release, or all; repeatable; by default {DEFAULT_PART.name}")
    ] = None,
) -> None:
    """Make a learner's bundle or an autograder for Gradescope."""
    from rlhf_course.releasing.bundle import write_bundle
    from rlhf_course.releasing.gradescope import write_autograder

    if bundle is None and gradescope is None:
        raise CourseError("name what to make: --bundle FILE.zip or --gradescope FILE.zip")
    parts = select_parts(part)
    if bundle is not None:
        count = write_bundle(bundle, parts)
        print(f"{bundle}: {count} files for learners, searched for answers, known mistakes and hidden tests: none")
    if gradescope is not None:
        print(f"{gradescope}: {write_autograder(gradescope, parts)} files for Gradescope; not for learners")


def marks(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="what `grade --json` wrote")],
    canvas: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="write marks for Canvas")] = None,
    moodle: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="write marks for Moodle")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="grades exported from Canvas, or Moodle's grading worksheet, to be filled in")
    ] = None,
    title: Annotated[str, typer.Option(help="the assignment's name in Canvas")] = DEFAULT_PART.name,
) -> None:
    """Write marks in the format that Canvas or Moodle imports."""
    from rlhf_course.grading.results import GradeReport
    from rlhf_course.releasing.marks import canvas_csv, mark_of, moodle_csv

    if canvas is None and moodle is None:
        raise CourseError("say what to write: --canvas FILE.csv or --moodle FILE.csv")
    try:
        found = [mark_of(result) for result in GradeReport.model_validate_json(results.read_bytes()).submissions]
    except (OSError, ValueError) as error:
        raise CourseError(f"{results} holds no results of `rlhf-course grade --json`") from error
    for path, made in ((canvas, lambda: canvas_csv(found, title, roster)), (moodle, lambda: moodle_csv(found, roster))):
        if path is not None:
            text, unknown = made()
            path.write_text(text, encoding="utf-8")
            print(f"{path}: marks of {len(found) - len(unknown)} learners")
            if unknown:
                print(f"  not in {roster}: {', '.join(unknown)}")
