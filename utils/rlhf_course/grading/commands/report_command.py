"""Define the command `rlhf-course report`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from rlhf_course.course_file import CourseFile, read_course_file
from rlhf_course.errors import CourseError
from rlhf_course.grading.commands.options import CommentsFile, CsvFile, HtmlFolder
from rlhf_course.grading.commands.output import comments_of, print_unmatched, write_reports, writing_files
from rlhf_course.grading.comments.comments import Comment
from rlhf_course.grading.course_marks import apply_course_to_class, not_graded
from rlhf_course.grading.reports.changes import print_recount
from rlhf_course.grading.results import GradeReport
from rlhf_course.grading.submissions.parse_submission import printable


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS.json", help="files that `grade --json` wrote, one for each assignment"),
    ],
    html: HtmlFolder = None,
    csv: CsvFile = None,
    course_file: Annotated[
        Path | None, typer.Option("--course", metavar="FILE", help="course.toml, whose points and rules count now")
    ] = None,
    comments: CommentsFile = None,
) -> None:
    """Write pages and tables from results, without grading again; from several, follow the learners over them."""
    if html is None and csv is None:
        raise CourseError("nothing to write: add --html DIR, --csv FILE or both")
    course = None if course_file is None else read_course_file(course_file)
    graded = {path: _counted(path, _read_report(path), course) for path in results}
    if len(results) == 1:
        write_reports(graded[results[0]], None, html, csv, comments_of(comments, results[0]))
    else:
        _write_course_report(graded, html, csv, {path: comments_of(comments, path) for path in results})


def _counted(path: Path, graded: GradeReport, course: CourseFile | None) -> GradeReport:
    """Return results as a course counts them now, if there is one, and print the marks that differ."""
    if course is None:
        return graded
    counted = apply_course_to_class(graded.submissions, course)
    print_recount(path, graded.submissions, counted, not_graded(graded.submissions, course))
    return graded.model_copy(update={"title": course.title, "submissions": counted})


def _write_course_report(
    graded: Mapping[Path, GradeReport], html: Path | None, csv: Path | None, comments: Mapping[Path, list[Comment]]
) -> None:
    """Write a report that follows the learners over several assignments, which are named after their files."""
    from rlhf_course.grading.reports.assignments import follow, write_course_csv, write_course_pages

    stems = Counter(path.stem for path in graded)
    names = {path: path.stem if stems[path.stem] == 1 else f"{path.parent.name}/{path.stem}" for path in graded}
    if len(set(names.values())) < len(names):
        raise CourseError("results of different assignments are in files of different names, or folders")
    reports = {names[path]: report for path, report in graded.items()}
    with writing_files():
        if csv is not None:
            write_course_csv(csv, reports)
        if html is not None:
            index = write_course_pages(html, reports, {names[path]: listed for path, listed in comments.items()})
            print(f"course report: {index}")
    for path, listed in comments.items():
        print_unmatched(listed, graded[path])
    for message in follow(reports).unmatched:
        print(printable(message))


def _read_report(path: Path) -> GradeReport:
    try:
        return GradeReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise CourseError(f"{path} holds no results of `rlhf-course grade --json`: {field}: {first['msg']}") from error
