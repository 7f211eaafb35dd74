"""Define the commands `rlhf-course release` and `rlhf-course marks`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlhf_course.course import DEFAULT_PART, select_parts
from rlhf_course.errors import CourseError

if TYPE_CHECKING:
    from rlhf_course.class_list.matching import Matching


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
    self_study: Annotated[
        bool, typer.Option("--self-study", help="put the answers into the bundle, for learners without an instructor")
    ] = False,
    with_answers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART", help="another part, whose files in the bundle hold the course's answers; repeatable"
        ),
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help=f"a part to release, or all; repeatable; by default {DEFAULT_PART.name}")
    ] = None,
    course_file: Annotated[
        Path | None, typer.Option("--course", metavar="FILE", help="course.toml: points, exercises left out, late rule")
    ] = None,
) -> None:
    """Make a learner's bundle or an autograder for Gradescope."""
    from rlhf_course.course_file import read_course_file
    from rlhf_course.releasing.bundle import write_bundle
    from rlhf_course.releasing.gradescope import write_autograder

    if bundle is None and gradescope is None:
        raise CourseError("nothing to write: add --bundle FILE.zip, --gradescope FILE.zip or both")
    if self_study and bundle is None:
        raise CourseError("--self-study is about the learner's bundle: add --bundle FILE.zip")
    if with_answers and bundle is None:
        raise CourseError("--with-answers is about the learner's bundle: add --bundle FILE.zip")
    course = read_course_file(course_file)
    parts = course.parts(part)
    answered = select_parts(with_answers, "--with-answers") if with_answers else ()
    if bundle is not None:
        count = write_bundle(bundle, parts, self_study=self_study, answered=answered)
        filled_in = ", ".join(part.name for part in answered)
        held = f"{filled_in} is filled in with the course's answers; otherwise " if answered else ""
        held += "the answers are in solutions/" if self_study else "they hold no answer, known mistake or hidden test"
        print(f"{bundle}: {count} files for learners; {held}")
    if gradescope is not None:
        count = write_autograder(gradescope, parts, course_file=course_file)
        print(f"{gradescope}: {count} files for Gradescope; do not give them to learners")


def marks(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="a file that `grade --json` wrote")],
    canvas: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="write marks for Canvas")] = None,
    moodle: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="write marks for Moodle")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="grades exported from Canvas, or Moodle's grading worksheet, to be filled in")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="the roster's column that marks are matched by; the output names it"),
    ] = None,
    course_file: Annotated[
        Path | None, typer.Option("--course", metavar="FILE", help="course.toml, whose points and rules count now")
    ] = None,
    title: Annotated[str, typer.Option(help="the assignment's name in Canvas")] = DEFAULT_PART.name,
    grade_column: Annotated[str | None, typer.Option(metavar="COLUMN", help="Moodle's column for the points")] = None,
    feedback_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Moodle's column for the feedback")
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="platform|none|NUMBER",
            help="what all points become: the roster's maximum, as many as there are points, or this many",
        ),
    ] = "platform",
) -> None:
    """Write marks in the format that Canvas or Moodle imports.

    With a roster, a mark is written only where one submission and one row have the same entry in one column. The others
    are listed. The exit code is 1 if no mark has a row.
    """
    from rlhf_course.course_file import read_course_file
    from rlhf_course.files import write_text
    from rlhf_course.grading.comments.comments import ClassComments, comments_beside, feedback_lines
    from rlhf_course.grading.course_marks import apply_course_to_class, not_graded
    from rlhf_course.grading.reports.changes import print_recount
    from rlhf_course.grading.results import GradeReport
    from rlhf_course.releasing.marks import canvas_csv, mark_of, moodle_csv
    from rlhf_course.releasing.scale import parse_scale

    if canvas is None and moodle is None:
        raise CourseError("nothing to write: add --canvas FILE.csv, --moodle FILE.csv or both")
    if key is not None and roster is None:
        raise CourseError("--key names a column of the roster: add --roster FILE.csv")
    try:
        report = GradeReport.model_validate_json(results.read_bytes())
    except (OSError, ValueError) as error:
        raise CourseError(f"{results} holds no results of `rlhf-course grade --json`") from error
    on_scale = parse_scale(scale)
    graded = report.submissions
    if course_file is not None:
        course = read_course_file(course_file)
        graded = apply_course_to_class(graded, course)
        print_recount(results, report.submissions, graded, not_graded(report.submissions, course))
    comments = ClassComments(comments_beside(results), graded)
    _print_list("comments that reach nobody:", comments.unmatched)
    class_marks = [mark_of(result, feedback_lines(comments.to_learner(result.name))) for result in graded]
    tables = (
        (canvas, lambda: canvas_csv(class_marks, title, roster, key, on_scale)),
        (moodle, lambda: moodle_csv(class_marks, roster, key, grade_column, feedback_column, on_scale)),
    )
    for path, make_table in tables:
        if path is None:
            continue
        table = make_table()
        if table.matching is not None:
            _print_matching(table.matching)
            if not table.matching.submissions:
                print(f"{path} was not written: no submission belongs to a row; choose the column with --key COLUMN")
                raise typer.Exit(1)
        for heading, lines in (
            ("not written:", table.left),
            ("replaced:", table.replaced),
            ("may be no logins; --roster finds the rows:", table.doubtful),
        ):
            _print_list(heading, lines)
        write_text(path, table.text)
        matched = class_marks if table.matching is None else table.matching.submissions
        written = len(matched) - len(table.left)
        print(f"{path}: marks of {written} learners" + (f", {table.note}" if table.note else ""))


def _print_matching(matching: "Matching") -> None:
    from rlhf_course.grading.submissions.parse_submission import printable

    print(f"matched by the roster's column {printable(matching.key)}")
    for heading, lines in (
        ("not written:", matching.problems),
        ("rows without a submission:", matching.without_submission),
        (f"rows without an entry in {matching.key}:", matching.without_key),
    ):
        _print_list(heading, lines)


def _print_list(heading: str, lines: Sequence[str]) -> None:
    from rlhf_course.grading.submissions.parse_submission import printable

    if lines:
        print(f"  {heading}", *(f"    {printable(line)}" for line in lines), sep="\n")
