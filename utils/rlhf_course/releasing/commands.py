"""Define the commands `rlhf-course release` and `rlhf-course marks`."""

from pathlib import Path
from typing import Annotated

import typer

from rlhf_course.course import DEFAULT_PART, select_parts
from rlhf_course.errors import CourseError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(release)
    app.command()(marks)


def release(
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="all files that a learner needs outside nbgrader")
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
        raise CourseError("nothing to write: add --bundle FILE.zip, --gradescope FILE.zip or both")
    parts = select_parts(part)
    if bundle is not None:
        count = write_bundle(bundle, parts)
        print(f"{bundle}: {count} files for learners; they hold no answer, known mistake or hidden test")
    if gradescope is not None:
        count = write_autograder(gradescope, parts)
        print(f"{gradescope}: {count} files for Gradescope; do not give them to learners")


def marks(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="a file that `grade --json` wrote")],
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
        raise CourseError("nothing to write: add --canvas FILE.csv, --moodle FILE.csv or both")
    try:
        report = GradeReport.model_validate_json(results.read_bytes())
    except (OSError, ValueError) as error:
        raise CourseError(f"{results} holds no results of `rlhf-course grade --json`") from error
    class_marks = [mark_of(result) for result in report.submissions]
    tables = (
        (canvas, lambda: canvas_csv(class_marks, title, roster)),
        (moodle, lambda: moodle_csv(class_marks, roster)),
    )
    for path, make_table in tables:
        if path is not None:
            text, unknown = make_table()
            path.write_text(text, encoding="utf-8")
            print(f"{path}: marks of {len(class_marks) - len(unknown)} learners")
            if unknown:
                print(f"  not in {roster}: {', '.join(unknown)}")
