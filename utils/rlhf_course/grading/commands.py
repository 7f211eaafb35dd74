"""`rlhf-course grade` and `rlhf-course report`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from rlhf_course.course import DEFAULT_PART, Part, select_parts
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.grading.batch.cache import ResultCache, default_folder
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.batch.pool import JudgeFactory, Pool, available_cores
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.reports.tables import LEGEND, terminal_table, write_csv
from rlhf_course.grading.results import GradeReport, SubmissionResult
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions, read_submission
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY

if TYPE_CHECKING:
    from rlhf_course.grading.batch.cluster import Cluster
    from rlhf_course.grading.judge.judge import Judge

EXAMPLES = REPOSITORY / "tests" / "project" / "examples" / "submissions"
_UNAVAILABLE, _INTERRUPTED = 3, 130


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(grade)
    app.command()(report)


def grade(
    submissions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SUBMISSION", help=f"folders that hold {DEFAULT_PART.name}/, zips or tars of them, or notebooks"
        ),
    ],
    part: Annotated[
        list[str] | None, typer.Option(help=f"a part to grade, or all; repeatable; by default {DEFAULT_PART.name}")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="everything in the named folders is a submission")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the results to this file")] = None,
    html: Annotated[
        Path | None, typer.Option(help="write a page for each learner and one for the class to this folder")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="write a row for each submission to this file")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="how many are graded at once; by default one for each core")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="grade on the Dask cluster with this address")] = None,
    isolation: Annotated[str, typer.Option(help="namespaces, uid or unsafe")] = "namespaces",
    timeout: Annotated[float | None, typer.Option(min=0.1, help="seconds that one call of an answer may take")] = None,
    memory: Annotated[int | None, typer.Option(min=64, help="megabytes that an answer may use")] = None,
    processes: Annotated[
        int | None, typer.Option("--threads", "--processes", min=1, help="threads that an answer may start")
    ] = None,
    output: Annotated[
        int | None, typer.Option(min=1, help="kilobytes that one call of an answer may give back")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="folder where results are kept; by default the user's cache")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="neither use nor keep results")] = False,
) -> None:
    """Grade submissions. Results are kept: after an interruption the same command grades what is missing."""
    from rlhf_course.grading.sandbox.isolation import IsolationUnavailable

    parts = select_parts(part)
    limits = _limits(timeout=timeout, memory=memory, processes=processes, output=output)
    handed_in = list_submissions(submissions, each)
    kept = None if no_cache else ResultCache(cache or default_folder(), isolation, limits)
    console = Console(stderr=True)
    try:
        results = judged(handed_in, _Way(isolation, limits, workers, scheduler), kept, console, parts)
    except IsolationUnavailable as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_UNAVAILABLE) from error
    print_results(results, Console())
    write_reports(GradeReport(isolation=isolation, submissions=results), json_file, html, csv)


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="what `grade --json` wrote")],
    html: Annotated[
        Path | None, typer.Option(help="write a page for each learner and one for the class to this folder")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="write a row for each submission to this file")] = None,
) -> None:
    """Write pages and tables from results, without grading again."""
    if html is None and csv is None:
        raise CourseError("say what to write: --html DIR, --csv FILE or both")
    try:
        found = GradeReport.model_validate_json(results.read_bytes())
    except OSError as error:
        raise CourseError(f"{results} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CourseError(
            f"{results} holds no results of `rlhf-course grade --json`: {where or 'the file'}: {first['msg']}"
        ) from error
    write_reports(found, None, html, csv)


def _limits(**given: float | None) -> ResourceLimits:
    """The limits, with those of the command line in their place."""

    return ResourceLimits(**{name: value for name, value in given.items() if value is not None})


def _judge_maker(isolation: str, limits: ResourceLimits) -> JudgeFactory:
    return partial(_make_judge, isolation, limits)


def _make_judge(isolation: str, limits: ResourceLimits) -> "Judge":
    """Called in a worker, so that torch loads there and not here."""
    from rlhf_course.grading.judge.judge import Judge

    return Judge(isolation, limits)


def _require(isolation: str) -> None:
    """Ask that this machine has an isolation, before any worker starts."""
    from rlhf_course.grading.sandbox.isolation import require

    require(isolation)


@dataclass(frozen=True)
class _Way:
    """How to grade: under what, and where."""

    isolation: str
    limits: ResourceLimits
    workers: int | None = None
    scheduler: str | None = None

    @contextmanager
    def grader(self, most: int) -> Iterator["Pool | Cluster"]:
        """A pool of this machine's processes or a cluster, for at most so many submissions."""
        if self.scheduler is not None:
            from rlhf_course.grading.batch.cluster import Cluster

            with Cluster(_judge_maker(self.isolation, self.limits), self.scheduler) as cluster:
                yield cluster
            return
        _require(self.isolation)
        with Pool(_judge_maker(self.isolation, self.limits), min(most, self.workers or available_cores())) as pool:
            yield pool


def judged(
    handed_in: Sequence[SubmissionPath],
    way: _Way,
    kept: ResultCache | None,
    console: Console,
    parts: Sequence[Part] = (DEFAULT_PART,),
) -> list[SubmissionResult]:
    """Grade submissions behind a progress bar; Ctrl-C says how to go on.

    Raises:
        IsolationUnavailable, CourseError: they cannot be graded.
        typer.Exit: Ctrl-C.
    """
    other_parts: Counter[str] = Counter()

    def read() -> Iterator[Submission]:
        for path in handed_in:
            submission = read_submission(path, parts)
            other_parts.update(submission.other_parts)
            yield submission

    columns = ("grading", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(handed_in))
        try:
            with way.grader(len(handed_in)) as grader:
                results = grade_all(read(), grader, kept, lambda result: progress.advance(bar))
        except KeyboardInterrupt:
            progress.stop()
            done = f"interrupted: {progress.tasks[0].completed:g} of {len(handed_in)} graded"
            advice = (
                "nothing was kept" if kept is None else f"kept in {kept.folder}; the same command goes on from there"
            )
            console.print(f"{done}, {advice}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(_INTERRUPTED) from None
    if other_parts:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(other_parts.items()))
        console.print(f"handed in too, and not graded: {names}; --part names what to grade", highlight=False)
    return results


def grade_examples(console: Console) -> list[SubmissionResult]:
    """Grade the submissions that come with the course, for show; without isolation where there is none, since they are ours.

    Returns: the results; none where this copy of the course holds no examples, or this system cannot grade.
    """
    if not EXAMPLES.is_dir():
        return []
    from rlhf_course.grading.sandbox.isolation import IsolationUnavailable

    isolation = "namespaces"
    try:
        _require(isolation)
    except IsolationUnavailable as error:
        isolation = "unsafe"
        console.print(
            f"{error}\nThe examples are the course's own, so they are graded without isolation.\n",
            markup=False,
            highlight=False,
        )
    try:
        results = judged(list_submissions([EXAMPLES], each=True), _Way(isolation, ResourceLimits()), None, console)
    except IsolationUnavailable as error:
        console.print(str(error), markup=False, highlight=False)
        return []
    print_results(results, console)
    return results


def print_results(results: Sequence[SubmissionResult], console: Console) -> None:
    """Show results as a table on the terminal."""
    console.print(terminal_table(results))
    console.print(LEGEND, style="dim", highlight=False)


def write_reports(found: GradeReport, json_file: Path | None, html: Path | None, csv: Path | None) -> None:
    """Write what was asked for.

    Raises:
        CourseError: it cannot be written.
    """
    try:
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            write_text(json_file, found.model_dump_json(indent=1) + "\n")
        if csv is not None:
            csv.parent.mkdir(parents=True, exist_ok=True)
            write_csv(csv, found.submissions)
        if html is not None:
            from rlhf_course.grading.reports.pages import write_pages

            print(f"class report: {write_pages(html, found)}")
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be written: {error.strerror}") from error
