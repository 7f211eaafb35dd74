"""Follow the learners of a class over several assignments."""

import csv
import io
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.files import escape_formula, write_text
from rlhf_course.grading.comments.comments import Comment
from rlhf_course.grading.reports.pages import file_names, template, write_pages
from rlhf_course.grading.reports.summary import percent
from rlhf_course.grading.results import GradeReport, SubmissionResult


@dataclass(frozen=True)
class AssignmentSummary:
    """The results of a class in one assignment.

    Attributes:
        name: The name of the assignment.
        submissions: The number of submissions.
        unread: The number of those of which something could not be read; mean and median leave them out.
        mean: The mean score in percent.
        median: The median score in percent.
    """

    name: str
    submissions: int
    unread: int
    mean: float
    median: float


@dataclass(frozen=True)
class LearnerProgress:
    """A learner over the assignments.

    Attributes:
        name: The name of the submissions.
        percents: For each assignment the score in percent; None if there is none.
        unread: For each assignment whether something could not be read.
    """

    name: str
    percents: list[float | None]
    unread: list[bool]

    @property
    def change(self) -> float | None:
        """The last score minus the first; None with fewer than two."""
        known = [value for value in self.percents if value is not None]
        return known[-1] - known[0] if len(known) > 1 else None


@dataclass(frozen=True)
class CourseProgress:
    """A class over several assignments.

    Attributes:
        assignments: The summary of each assignment.
        learners: The learners, in the order in which their names first occur.
        late: The names of the learners who lose points for late work in an assignment.
    """

    assignments: list[AssignmentSummary]
    learners: list[LearnerProgress]
    late: list[str]

    @property
    def unmatched(self) -> list[str]:
        """Messages on the learners whose name is missing in an assignment: nothing handed in, or another name."""
        names = [assignment.name for assignment in self.assignments]
        return [
            f"{learner.name} is not in {', '.join(missing)}"
            for learner in self.learners
            if (missing := [
                name
                for name, value, unread in zip(names, learner.percents, learner.unread, strict=True)
                if value is None and not unread
            ])
        ]  # fmt: skip


def follow(reports: Mapping[str, GradeReport]) -> CourseProgress:
    """Match the submissions of several assignments by their names.

    Upper and lower case are the same, unless two submissions of one assignment differ in nothing else.

    Args:
        reports: The results of each assignment, by its name.
    """
    folded = [Counter(result.name.casefold() for result in report.submissions) for report in reports.values()]
    ambiguous = {name for counts in folded for name, count in counts.items() if count > 1}

    def key(name: str) -> str:
        return name if name.casefold() in ambiguous else name.casefold()

    by_key = [{key(result.name): result for result in report.submissions} for report in reports.values()]
    shown = {key(result.name): result.name for report in reports.values() for result in report.submissions}
    late = [result.name for report in reports.values() for result in report.submissions if result.late_penalty]
    return CourseProgress(
        [_assignment(name, report.submissions) for name, report in reports.items()],
        [_learner(name, [results.get(key) for results in by_key]) for key, name in shown.items()],
        list(dict.fromkeys(late)),
    )


def write_course_pages(folder: Path, reports: Mapping[str, GradeReport], comments: Mapping[str, list[Comment]]) -> Path:
    """Write the report of each assignment to a folder of its own, and `index.html`, which follows the learners.

    Args:
        folder: The folder for the pages.
        reports: The results of each assignment, by its name.
        comments: The instructor's comments, by the name of the assignment.

    Returns:
        The path of `index.html`.
    """
    folders = [file.removesuffix(".html") for file in file_names(reports)]
    for subfolder, (name, report) in zip(folders, reports.items(), strict=True):
        write_pages(folder / subfolder, report, comments[name])
    page = template("course.html").render(progress=follow(reports), folders=folders)
    write_text(folder / "index.html", page)
    return folder / "index.html"


def write_course_csv(path: Path, reports: Mapping[str, GradeReport]) -> None:
    """Write a row for each learner: the name, the score of each assignment in percent, and the change."""
    progress, file = follow(reports), io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", *(escape_formula(assignment.name) for assignment in progress.assignments), "change"])
    for learner in progress.learners:
        values = [*learner.percents, learner.change]
        writer.writerow([escape_formula(learner.name), *("" if value is None else f"{value:.1f}" for value in values)])
    write_text(path, file.getvalue())


def _assignment(name: str, results: list[SubmissionResult]) -> AssignmentSummary:
    percents = [percent(result) for result in results if not result.is_unread] or [0.0]
    unread = sum(result.is_unread for result in results)
    return AssignmentSummary(name, len(results), unread, statistics.fmean(percents), statistics.median(percents))


def _learner(name: str, results: list[SubmissionResult | None]) -> LearnerProgress:
    unread = [result is not None and result.is_unread for result in results]
    percents = [None if result is None or result.is_unread else percent(result) for result in results]
    return LearnerProgress(name, percents, unread)
