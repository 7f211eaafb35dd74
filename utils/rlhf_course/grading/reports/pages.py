"""Results as pages that open from disk: one for each learner, and one for the class.

A learner's page holds what that learner may know: scores, messages, the likely mistake, their own warnings. Names and messages
are strangers' text; all of it is escaped, and no page runs a script or loads anything.
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
_NAMES_SHOWN = 40


def write_pages(folder: Path, report: GradeReport) -> Path:
    """Write `index.html`, the class's page, and `learners/<name>.html`, a page each.

    Returns: the class's page.
    """
    (folder / LEARNERS).mkdir(parents=True, exist_ok=True)
    files = _file_names(report.submissions)
    for result, file in zip(report.submissions, files, strict=True):
        write_text(folder / LEARNERS / file, learner_page(result, report.isolation))
    write_text(folder / "index.html", class_page(report, files))
    return folder / "index.html"


def learner_page(result: SubmissionResult, isolation: str) -> str:
    """The page of one learner, as HTML."""
    return _template("learner.html").render(result=result, isolation=isolation)


def class_page(report: GradeReport, files: Sequence[str]) -> str:
    """The page of the class, as HTML; `files` are the learners' pages."""
    summary = summarise(report)
    return _template("class.html").render(
        report=report,
        files=files,
        summary=summary,
        histogram=plots.histogram(summary.percents),
        outcomes=plots.outcomes(summary.exercises),
    )


def _file_names(results: Sequence[SubmissionResult]) -> list[str]:
    """A harmless file name for each page, no two the same even where case does not count."""
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
    """Text without the characters that have no look of their own, which could turn the writing round them."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        char if char == "\n" or unicodedata.category(char)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for char in value
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
