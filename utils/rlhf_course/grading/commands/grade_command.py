"""Define the command `rlhf-course grade`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rlhf_course.course import DEFAULT_PART
from rlhf_course.course_file import read_course_file
from rlhf_course.errors import CourseError
from rlhf_course.grading.batch.cache import ResultCache, default_cache_folder, grading_version
from rlhf_course.grading.commands.explain import explain_test
from rlhf_course.grading.commands.grader import GradingConfig, grade_with_progress, limits_of, make_judge
from rlhf_course.grading.commands.late_notes import notes_on_late_work, with_time
from rlhf_course.grading.commands.options import CommentsFile, CsvFile, HtmlFolder
from rlhf_course.grading.commands.output import comments_of, print_results, write_reports
from rlhf_course.grading.commands.replacing import earlier_results, may_replace
from rlhf_course.grading.comments.groups import Examples
from rlhf_course.grading.course_marks import apply_course_to_class
from rlhf_course.grading.handed_in import read_handed_in
from rlhf_course.grading.results import GradeReport
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, parse_level, require_hidden
from rlhf_course.grading.secret import default_secret_file, read_or_create_secret, read_secret
from rlhf_course.grading.submissions.parse_submission import list_submissions

_EXIT_NOT_REPLACED, _EXIT_NO_ISOLATION = 1, 3
_SUITE_DIGITS = 16


def grade(
    submissions: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SUBMISSION", help=f"folders that hold {DEFAULT_PART.name}/, zips or tars of them, or notebooks"
        ),
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help=f"a part to grade, or all; repeatable; by default {DEFAULT_PART.name}")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="grade everything in the folders as a submission")] = False,
    assignment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="with --each: grade this folder of each submission, as in nbgrader's submitted/"
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the results to this file")] = None,
    html: HtmlFolder = None,
    csv: CsvFile = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="submissions that are graded at once; by default one for each core")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="grade on the Dask cluster with this address")] = None,
    isolation: Annotated[str, typer.Option(help="namespaces, uid or unsafe")] = "namespaces",
    timeout: Annotated[float | None, typer.Option(min=0.1, help="seconds that one call of an answer may take")] = None,
    submission_timeout: Annotated[
        float | None, typer.Option(min=0.1, help="seconds after which no further answer of a submission is called")
    ] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="megabytes that an answer may use")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", "--processes", min=1, help="threads that an answer may start")
    ] = None,
    output: Annotated[int | None, typer.Option(min=1, help="kilobytes that one call of an answer may return")] = None,
    explain: Annotated[
        tuple[Path, str, str] | None,
        typer.Option(
            metavar="SUBMISSION EXERCISE TEST",
            help="grade nothing, and show what one hidden test passed to an answer, what came back and what was wanted",
        ),
    ] = None,
    explain_to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="with --explain: write a script that makes the test's calls, and its tensors"),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="the course's secret, which decides the tests' inputs; by default one of this user's"
        ),
    ] = None,
    course_file: Annotated[
        Path | None,
        typer.Option("--course", metavar="FILE", help="course.toml: points, exercises left out, due dates, late rule"),
    ] = None,
    submitted: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="when submissions were handed in: columns learner and time, Moodle's worksheet or Gradescope's grades",
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="folder that results are stored in; by default in the user's cache")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="neither read nor store results")] = False,
    comments: CommentsFile = None,
    replace_results: Annotated[
        bool, typer.Option("--replace", help="write other marks over those of another secret or older hidden tests")
    ] = False,
) -> None:
    """Grade submissions. Results are stored: after an interruption, run the same command again to continue."""
    course = read_course_file(course_file)
    parts = course.parts(part)
    console = Console(stderr=True)
    limits = limits_of(
        timeout=timeout, submission_timeout=submission_timeout, memory=memory, threads=threads, output=output
    )
    secret = read_secret(secret_file) if secret_file else read_or_create_secret(default_secret_file())
    try:
        require_hidden(parse_level(isolation), [secret_file or default_secret_file()])
    except IsolationUnavailable as error:
        raise _no_isolation(error, console) from error
    if explain is not None:
        explain_test(*explain, make_judge(parse_level(isolation), limits, secret), explain_to)
        return
    if explain_to is not None:
        raise CourseError("--explain-to is about one hidden test: add --explain SUBMISSION EXERCISE TEST")
    if not submissions:
        raise CourseError("name a SUBMISSION to grade: a folder, an archive or a notebook")
    paths = list_submissions(submissions, each, assignment)
    times = read_handed_in(submitted, [path.name for path in paths], course.timezone) if submitted else {}
    config = GradingConfig(parse_level(isolation), limits, workers, scheduler, secret)
    result_cache = None if no_cache else ResultCache(cache or default_cache_folder(), isolation, limits, secret)
    suite = grading_version()[:_SUITE_DIGITS]
    earlier = earlier_results(json_file)
    try:
        results = grade_with_progress(paths, config, result_cache, console, parts, examples := Examples())
    except IsolationUnavailable as error:
        raise _no_isolation(error, console) from error
    results = apply_course_to_class([with_time(result, times) for result in results], course)
    for line in notes_on_late_work(results, course):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    grades = GradeReport(
        isolation=config.isolation,
        secret=secret.fingerprint,
        suite=suite,
        course=course.fingerprint,
        title=course.title,
        submissions=results,
        examples=examples.texts,
    )
    if earlier is not None and not may_replace(earlier, grades, replace_results, console):
        raise typer.Exit(_EXIT_NOT_REPLACED)
    # first, since printing ends the process where a pipe's reader has gone
    write_reports(grades, json_file, html, csv, comments_of(comments, json_file))
    print_results(results, Console())


def _no_isolation(error: IsolationUnavailable, console: Console) -> typer.Exit:
    """Print why submissions cannot be isolated, and return the exception that ends the command."""
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(_EXIT_NO_ISOLATION)
