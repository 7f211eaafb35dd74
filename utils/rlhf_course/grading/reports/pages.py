"""Write results as HTML pages that open from disk: one for each learner, one for each exercise, and one for the class.

A learner's page holds only facts about that learner: scores, comments, messages, the likely mistake and the warnings.
The page of an exercise is for the instructor alone.
Names and messages are not trusted: all of them are escaped, and no page runs a script or loads a resource.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlhf_course.files import write_text
from rlhf_course.grading.comments.comments import ClassComments, Comment
from rlhf_course.grading.comments.groups import example_text
from rlhf_course.grading.reports import plots
from rlhf_course.grading.reports.summary import ClassSummary, ExerciseSummary, percent, summarise
from rlhf_course.grading.reports.tables import SYMBOLS
from rlhf_course.grading.results import GradeReport, SubmissionResult

LEARNERS, EXERCISES = "learners", "exercises"
_MAX_NAMES = 40


def write_pages(folder: Path, report: GradeReport, comments: Sequence[Comment] = ()) -> Path:
    """Write the class's page, `index.html`, and `learners/<name>.html` and `exercises/<name>.html`.

    Args:
        folder: The folder for the pages, which is created if it does not exist.
        report: The results of the class.
        comments: The instructor's comments.

    Returns:
        The path of the class's page.
    """
    for subfolder in (LEARNERS, EXERCISES):
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    in_class = ClassComments(comments, report.submissions)
    files = file_names(result.name for result in report.submissions)
    for result, file in zip(report.submissions, files, strict=True):
        page = learner_page(result, report.isolation, in_class.to_learner(result.name))
        write_text(folder / LEARNERS / file, page)
    summary = summarise(report)
    exercise_files = file_names(exercise.name for exercise in summary.exercises)
    for exercise, file in zip(summary.exercises, exercise_files, strict=True):
        write_text(folder / EXERCISES / file, exercise_page(exercise, report, summary, in_class, files))
    write_text(folder / "index.html", class_page(report, files, in_class.unmatched))
    return folder / "index.html"


def learner_page(result: SubmissionResult, isolation: str, comments: Sequence[Comment] = ()) -> str:
    """Return the page of one learner, as HTML.

    Args:
        result: The learner's results.
        isolation: The isolation level that they were graded at.
        comments: The comments that the learner gets.
    """
    return template("learner.html").render(result=result, isolation=isolation, comments=comments)


def exercise_page(
    exercise: ExerciseSummary,
    report: GradeReport,
    summary: ClassSummary,
    comments: ClassComments,
    files: Sequence[str],
) -> str:
    """Return the page of one exercise, as HTML: its answers grouped by what they do, and whom each test separates.

    Args:
        exercise: The summary of the exercise.
        report: The results of the class.
        summary: The summary of the class.
        comments: The instructor's comments, with the groups.
        files: The file name of each learner's page, in the order of the results.
    """
    groups = comments.groups[exercise.name]
    return template("exercise.html").render(
        exercise=exercise,
        groups=groups,
        comments=comments,
        texts=[example_text(group, report.examples) for group in groups],
        items=[item for item in summary.items if item.exercise == exercise.name],
        learner_files={result.name: file for result, file in zip(report.submissions, files, strict=True)},
    )


def class_page(report: GradeReport, files: Sequence[str], unmatched: Sequence[str] = ()) -> str:
    """Return the page of the class, as HTML.

    Args:
        report: The results of the class.
        files: The file name of each learner's page, in the order of the results.
        unmatched: Messages on the comments that reach nobody.
    """
    summary = summarise(report)
    names = [exercise.name for exercise in summary.exercises]
    return template("class.html").render(
        report=report,
        files=files,
        exercise_files=dict(zip(names, file_names(names), strict=True)),
        unmatched=unmatched,
        summary=summary,
        histogram=plots.histogram(summary.percents),
        outcomes=plots.outcomes(summary.exercises),
    )


def file_names(names: Iterable[str]) -> list[str]:
    """Return a safe file name for each page; no two are equal, even on a file system that ignores case."""
    files: list[str] = []
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "submission"
        file, number = stem, 2
        while file.lower() in taken:
            file, number = f"{stem}-{number}", number + 1
        taken.add(file.lower())
        files.append(f"{file}.html")
    return files


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rlhf_course.grading.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    filters: dict[str, Callable[[Any], str]] = {
        "number": lambda value: f"{round(value, 2):.10g}",
        "listed": _listed,
        "moment": _moment,
    }
    environment.filters |= filters
    environment.globals |= {"symbols": SYMBOLS, "percent": percent, "learners": LEARNERS, "exercises": EXERCISES}
    return environment


def template(name: str) -> Any:
    """Return a template of this package's pages."""
    return _environment().get_template(name)


def visible(value: Any) -> Any:
    """Replace the control and format characters of a text, since some of them reverse the text around them.

    A value that is not a text, or that is markup, is returned as it is.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        char if char == "\n" or unicodedata.category(char)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for char in value
    )


def _moment(time: datetime) -> str:
    """Return a time with its offset from UTC."""
    return f"{time:%Y-%m-%d %H:%M} (UTC{time:%z})".replace("+0000", "")


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words, which is cut off after some names."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
