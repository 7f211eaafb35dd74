"""Define the commands `rlhf-course grade` and `rlhf-course report`."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from rlhf_course.class_list.matching import marked_as_late
from rlhf_course.course import BY_NAME, DEFAULT_PART, Part, part_of
from rlhf_course.course_file import CourseFile, read_course_file
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.grading.batch.cache import ResultCache, default_cache_folder, grading_version
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import JudgeFactory, Pool, available_cores
from rlhf_course.grading.batch.progress import show_progress
from rlhf_course.grading.comments.comments import ClassComments, Comment, comments_beside, read_comments
from rlhf_course.grading.comments.groups import Examples
from rlhf_course.grading.course_marks import apply_course_to_class, unknown_extensions, without_time
from rlhf_course.grading.handed_in import read_handed_in
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.reports.changes import changed_marks, changes_table
from rlhf_course.grading.reports.tables import LEGEND, terminal_table, write_csv
from rlhf_course.grading.results import GradeReport, SubmissionResult
from rlhf_course.grading.sandbox.isolation import (
    IsolationUnavailable,
    Level,
    parse_level,
    require_hidden,
    require_isolation,
)
from rlhf_course.grading.secret import PUBLIC, Secret, default_secret_file, read_or_create_secret, read_secret
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions, printable
from rlhf_course.grading.submissions.reader import SubmissionReader, read_submission
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY

if TYPE_CHECKING:
    from rlhf_course.grading.batch.cluster import Cluster
    from rlhf_course.grading.judge.judge import Judge

EXAMPLES = REPOSITORY / "tests" / "project" / "examples" / "submissions"
COMMENTS_OPTION = typer.Option(
    metavar="FILE", help="the instructor's comments; by default comments.toml beside the results"
)
_MAX_LISTED = 20
_EXIT_NOT_REPLACED, _EXIT_NO_ISOLATION, _EXIT_INTERRUPTED = 1, 3, 130
_SUITE_DIGITS = 16


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(grade)
    app.command()(report)


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
    html: Annotated[
        Path | None, typer.Option(help="write a page for each learner and one for the class to this folder")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="write a row for each submission to this file")] = None,
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
    comments: Annotated[Path | None, COMMENTS_OPTION] = None,
    replace_results: Annotated[
        bool, typer.Option("--replace", help="write other marks over those of another secret or older hidden tests")
    ] = False,
) -> None:
    """Grade submissions. Results are stored: after an interruption, run the same command again to continue."""
    course = read_course_file(course_file)
    parts = course.parts(part)
    console = Console(stderr=True)
    limits = _limits(
        timeout=timeout, submission_timeout=submission_timeout, memory=memory, threads=threads, output=output
    )
    secret = read_secret(secret_file) if secret_file else read_or_create_secret(default_secret_file())
    try:
        require_hidden(parse_level(isolation), [secret_file or default_secret_file()])
    except IsolationUnavailable as error:
        raise _no_isolation(error, console) from error
    if explain is not None:
        _explain(*explain, _make_judge(parse_level(isolation), limits, secret), explain_to)
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
    earlier = _graded_otherwise(json_file, secret, suite, console)
    try:
        results = grade_with_progress(paths, config, result_cache, console, parts, examples := Examples())
    except IsolationUnavailable as error:
        raise _no_isolation(error, console) from error
    results = apply_course_to_class([_with_time(result, times) for result in results], course)
    for line in _notes_on_late_work(results, course):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    grades = GradeReport(
        isolation=config.isolation,
        secret=secret.fingerprint,
        suite=suite,
        title=course.title,
        submissions=results,
        examples=examples.texts,
    )
    if earlier is not None and not _may_replace(earlier, grades, replace_results, console):
        raise typer.Exit(_EXIT_NOT_REPLACED)
    # first, since printing ends the process where a pipe's reader has gone
    write_reports(grades, json_file, html, csv, _comments(comments, json_file))
    print_results(results, Console())


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS.json", help="files that `grade --json` wrote, one for each assignment"),
    ],
    html: Annotated[
        Path | None, typer.Option(help="write a page for each learner and one for the class to this folder")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="write a row for each submission to this file")] = None,
    course_file: Annotated[
        Path | None, typer.Option("--course", metavar="FILE", help="course.toml, whose points and rules count now")
    ] = None,
    comments: Annotated[Path | None, COMMENTS_OPTION] = None,
) -> None:
    """Write pages and tables from results, without grading again; from several, follow the learners over them."""
    if html is None and csv is None:
        raise CourseError("nothing to write: add --html DIR, --csv FILE or both")
    graded = {path: _counted(_read_report(path), course_file) for path in results}
    if len(results) == 1:
        write_reports(graded[results[0]], None, html, csv, _comments(comments, results[0]))
    else:
        _write_course_report(graded, html, csv, {path: _comments(comments, path) for path in results})


def _counted(graded: GradeReport, course_file: Path | None) -> GradeReport:
    """Return results as a course counts them, if there is a file of its settings."""
    if course_file is None:
        return graded
    course = read_course_file(course_file)
    counted = apply_course_to_class(graded.submissions, course)
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
    with _writing():
        if csv is not None:
            write_course_csv(csv, reports)
        if html is not None:
            index = write_course_pages(html, reports, {names[path]: listed for path, listed in comments.items()})
            print(f"course report: {index}")
    for path, listed in comments.items():
        _print_unmatched(listed, graded[path])
    for message in follow(reports).unmatched:
        print(printable(message))


def _comments(file: Path | None, results: Path | None) -> list[Comment]:
    """Return the comments in a file, or else in the file beside the results."""
    if file is not None:
        return read_comments(file)
    return [] if results is None else comments_beside(results)


def _with_time(result: SubmissionResult, times: Mapping[str, datetime]) -> SubmissionResult:
    return result.model_copy(update={"handed_in": times.get(result.name)})


def _notes_on_late_work(results: Sequence[SubmissionResult], course: CourseFile) -> Iterator[str]:
    """Yield a line on the submissions that lose points, on those of unknown time, and on extensions of nobody."""
    if late := [f"{result.name} -{result.late_penalty:g}" for result in results if result.late_penalty]:
        yield f"handed in late, with the points that they lose: {_listed(late)}"
    if unknown := without_time(results, course):
        yield f"no penalty for late work, since the time of handing in is unknown: {_listed(unknown)}; see --submitted"
        if marked := marked_as_late(unknown):
            yield f"late says Canvas, but not since when: {_listed(marked)}"
    if strangers := unknown_extensions(results, course):
        yield f"extensions in course.toml of learners without a submission: {_listed(strangers)}"


def _listed(names: Sequence[str]) -> str:
    further = [f"and {len(names) - _MAX_LISTED} more"] if len(names) > _MAX_LISTED else []
    return ", ".join([*map(printable, names[:_MAX_LISTED]), *further])


def _read_report(path: Path) -> GradeReport:
    try:
        return GradeReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise CourseError(f"{path} holds no results of `rlhf-course grade --json`: {field}: {first['msg']}") from error


def _explain(path: Path, exercise: str, test: str, judge: "Judge", folder: Path | None) -> None:
    """Print an account of one hidden test on one submission.

    Raises:
        CourseError: There is no such submission, exercise or test.
    """
    from rlhf_course.grading.judge.explain import explain

    if exercise not in BY_NAME:
        raise CourseError(f"{exercise} is no exercise; they are {', '.join(BY_NAME)}")
    (submission,) = list_submissions([path], each=False)
    with judge, judge.answers(read_submission(submission, [part_of(BY_NAME[exercise])])) as answers:
        print(*explain(answers, exercise, test, judge.secret, folder), sep="\n")


def _no_isolation(error: IsolationUnavailable, console: Console) -> typer.Exit:
    """Print why submissions cannot be isolated, and return the exception that ends the command."""
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(_EXIT_NO_ISOLATION)


def _limits(**options: Any) -> ResourceLimits:
    """Return the default limits, with the options that are not None in place of the defaults."""
    return replace(ResourceLimits(), **{name: value for name, value in options.items() if value is not None})


def _graded_otherwise(json_file: Path | None, secret: Secret, suite: str, console: Console) -> GradeReport | None:
    """Return the results in a file if another secret or another suite gave them, and print which; otherwise None."""
    try:
        earlier = None if json_file is None else GradeReport.model_validate_json(json_file.read_bytes())
    except (OSError, ValueError):
        return None
    if earlier is None or (earlier.secret, earlier.suite) == (secret.fingerprint, suite):
        return None
    if earlier.secret == secret.fingerprint:
        what = (
            f"other hidden tests, or another judge ({earlier.suite or 'older than this record'}): its marks may differ"
        )
    else:
        what = f"another secret ({earlier.secret}): its inputs, and so its marks, may differ"
    console.print(f"{json_file} was graded with {what}", markup=False, highlight=False)
    return earlier


def _may_replace(earlier: GradeReport, grades: GradeReport, replace_results: bool, console: Console) -> bool:
    """Print whose marks differ from earlier ones, and return whether to write the new ones.

    They are written if no mark differs, if an option says so, or if the user at a terminal does.
    """
    changes = changed_marks(earlier.submissions, grades.submissions)
    if not changes:
        console.print("no mark differs from those that the file holds")
        return True
    console.print(changes_table(changes))
    learners = len({change.learner for change in changes})
    console.print(f"marks of {learners} learners differ from those that the file holds", highlight=False)
    if replace_results:
        return True
    if console.is_terminal and sys.stdin.isatty():
        return typer.confirm("write the new marks?", err=True)
    console.print("nothing was written: add --replace to write the new marks", style="red")
    return False


def _judge_factory(isolation: Level, limits: ResourceLimits, secret: Secret) -> JudgeFactory:
    return partial(_make_judge, isolation, limits, secret)


def _make_judge(isolation: Level, limits: ResourceLimits, secret: Secret) -> "Judge":
    """Make a judge; this runs in a worker, so that torch is loaded there and not in the process of the command."""
    from rlhf_course.grading.judge.judge import Judge

    return Judge(isolation, limits, secret)


@dataclass(frozen=True)
class GradingConfig:
    """The settings of grading.

    Attributes:
        isolation: The isolation level.
        limits: The resource limits of each answer.
        workers: The largest number of worker processes; None for one worker on each core.
        scheduler: The address of a Dask scheduler, to grade on its cluster; None for this machine.
        secret: The course's secret, from which hidden tests draw their inputs.
    """

    isolation: Level
    limits: ResourceLimits
    workers: int | None = None
    scheduler: str | None = None
    secret: Secret = PUBLIC

    @property
    def description(self) -> str:
        """The settings in words, for a log."""
        where = f"the cluster {self.scheduler}" if self.scheduler else f"{self.workers or available_cores()} workers"
        return f"isolation {self.isolation}, {where}, secret {self.secret.fingerprint}"

    @contextmanager
    def grader(self, submission_count: int) -> Iterator["Pool | Cluster"]:
        """Connect to the cluster, or start a pool with no more workers than submissions.

        Raises:
            IsolationUnavailable: This machine does not support the isolation level.
        """
        make_judge = _judge_factory(self.isolation, self.limits, self.secret)
        if self.scheduler is not None:
            from rlhf_course.grading.batch.cluster import Cluster

            with Cluster(make_judge, self.scheduler) as cluster:
                yield cluster
            return
        require_isolation(self.isolation)
        with Pool(make_judge, min(submission_count, self.workers or available_cores())) as pool:
            yield pool


def grade_with_progress(
    paths: Sequence[SubmissionPath],
    config: GradingConfig,
    cache: ResultCache | None,
    console: Console,
    parts: Sequence[Part] = (DEFAULT_PART,),
    examples: Examples | None = None,
) -> list[SubmissionResult]:
    """Grade submissions and show the progress; Ctrl-C ends grading with a message that says how to continue.

    Args:
        paths: The submissions.
        config: The settings of grading.
        cache: The cache of results; None for no cache.
        console: The console for the progress and the messages.
        parts: The parts to grade.
        examples: Collects the text of one answer of each group that does the same.

    Returns:
        The results in the order of the submissions.

    Raises:
        IsolationUnavailable: This machine does not support the isolation level.
        CourseError: The submissions cannot be graded.
        typer.Exit: The user pressed Ctrl-C.
    """
    other_parts: Counter[str] = Counter()
    progress, is_shown = show_progress(console, len(paths))

    def read(reader: SubmissionReader) -> Iterator[Submission]:
        for path in paths:
            submission = reader.read(path, parts)
            other_parts.update(submission.other_parts)
            progress.read(submission)
            yield submission

    def on_result(submission: Submission, result: SubmissionResult) -> None:
        progress.judged(submission, result)
        if examples is not None:
            examples.add(submission, result)

    try:
        with is_shown:
            progress.start(config.description)
            with SubmissionReader() as reader, config.grader(len(paths)) as grader:
                if isinstance(grader, Pool):
                    grader.on_wait = progress.wait
                results = grade_all(read(reader), grader, cache, on_result)
            progress.end()
    except KeyboardInterrupt:
        message = _interruption_message(progress.done, len(paths), cache)
        console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if other_parts:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(other_parts.items()))
        console.print(f"also handed in, but not graded: {names}; --part names the parts to grade", highlight=False)
    return results


def _interruption_message(graded: int, total: int, cache: ResultCache | None) -> str:
    if cache is None:
        return f"interrupted: {graded} of {total} graded; no result was stored because of --no-cache"
    return (
        f"interrupted: {graded} of {total} graded and stored in {cache.folder}; run the same command again to continue"
    )


def grade_examples(console: Console) -> list[SubmissionResult]:
    """Grade the example submissions of the course and print the results.

    The examples are the course's own, so they are graded without isolation on a machine that supports none.

    Returns:
        The results; an empty list if this copy of the course holds no examples, or this system cannot grade.
    """
    if not EXAMPLES.is_dir():
        return []
    isolation: Level = "namespaces"
    try:
        require_isolation(isolation)
    except IsolationUnavailable as error:
        isolation = "unsafe"
        message = f"{error}\nThe examples are the course's own, so they are graded without isolation.\n"
        console.print(message, markup=False, highlight=False)
    paths = list_submissions([EXAMPLES], each=True)
    try:
        results = grade_with_progress(paths, GradingConfig(isolation, ResourceLimits()), None, console)
    except IsolationUnavailable as error:
        console.print(str(error), markup=False, highlight=False)
        return []
    print_results(results, console)
    return results


def print_results(results: Sequence[SubmissionResult], console: Console) -> None:
    """Print results as a table."""
    console.print(terminal_table(results))
    console.print(LEGEND, style="dim", highlight=False)


def write_reports(
    grades: GradeReport,
    json_file: Path | None,
    html: Path | None,
    csv: Path | None,
    comments: Sequence[Comment] = (),
) -> None:
    """Write results to files.

    Args:
        grades: The results.
        json_file: The JSON file to write; None for no JSON.
        html: The folder to write pages to; None for no pages.
        csv: The CSV file to write; None for no CSV.
        comments: The instructor's comments.

    Raises:
        CourseError: A file cannot be written.
    """
    with _writing():
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            write_text(json_file, grades.model_dump_json(indent=1) + "\n")
        if csv is not None:
            csv.parent.mkdir(parents=True, exist_ok=True)
            write_csv(csv, grades.submissions)
        if html is not None:
            from rlhf_course.grading.reports.pages import write_pages  # jinja2 takes time to load.

            print(f"class report: {write_pages(html, grades, comments)}")
            _print_unmatched(comments, grades)


def _print_unmatched(comments: Sequence[Comment], grades: GradeReport) -> None:
    for message in ClassComments(comments, grades.submissions).unmatched:
        print(f"a comment reaches nobody: {printable(message)}")


@contextmanager
def _writing() -> Iterator[None]:
    """Turn an error of writing a file into a message.

    Raises:
        CourseError: A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be written: {error.strerror}") from error
