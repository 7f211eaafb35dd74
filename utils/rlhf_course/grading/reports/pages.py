"""Write results as HTML pages that open from disk: one for each learner, and one for the class.

A learner's page holds only facts about that learner: scores, messages, the likely mistake and the warnings.
Names and messages are not trusted: all of them are escaped, and no page runs a script or loads a resource.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlhf_course.files import write_text
from rlhf_course.grading.reports import plots
from rlhf_course.grading.reports.summary import percent, summarise
from rlhf_course.grading.reports.tables import SYMBOLS
from rlhf_course.grading.results import GradeReport, SubmissionResult

LEARNERS = "learners"
_MAX_NAMES = 40


def write_pages(folder: Path, report: GradeReport) -> Path:
    """Write the class's page, `index.html`, and a page for each learner, `learners/<name>.html`.

    Args:
        folder: The folder for the pages, which is created if it does not exist.
        report: The results of the class.

    Returns:
        The path of the class's page.
    """
    (folder / LEARNERS).mkdir(parents=True, exist_ok=True)
    files = _file_names(report.submissions)
    for result, file in zip(report.submissions, files, strict=True):
        write_text(folder / LEARNERS / file, learner_page(result, report.isolation))
    write_text(folder / "index.html", class_page(report, files))
    return folder / "index.html"


def learner_page(result: SubmissionResult, isolation: str) -> str:
    """Return the page of one learner, as HTML.

    Args:
        result: The learner's results.
        isolation: The isolation level that they were graded at.
    """
    return _template("learner.html").render(result=result, isolation=isolation)


def class_page(report: GradeReport, files: Sequence[str]) -> str:
    """Return the page of the class, as HTML.

    Args:
        report: The results of the class.
        files: The file name of each learner's page, in the order of the results.
    """
    summary = summarise(report)
    return _template("class.html").render(
        report=report,
        files=files,
        summary=summary,
        histogram=plots.histogram(summary.percents),
        outcomes=plots.outcomes(summary.exercises),
    )


def _file_names(results: Sequence[SubmissionResult]) -> list[str]:
    """Return a safe file name for each page; no two are equal, even on a file system that ignores case."""
    names: list[str] = []
    taken: set[str] = set()
    for result in results:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", result.name).strip("-")[:60] or "submission"
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names


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
    environment.filters |= {"number": lambda value: f"{value:g}", "listed": _listed}
    environment.globals |= {"symbols": SYMBOLS, "percent": percent, "learners": LEARNERS}
    return environment


def _template(name: str) -> Any:
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


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words, which is cut off after some names."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
