"""Define the command `rlhf-course similarity`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rlhf_course.course import DEFAULT_PART, select_parts


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(similarity)


def similarity(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="folders of submissions, such as nbgrader's submitted/")
    ],
    html: Annotated[Path, typer.Option(help="write the report to this folder")],
    part: Annotated[
        list[str] | None, typer.Option(help=f"a part to compare, or all; repeatable; by default {DEFAULT_PART.name}")
    ] = None,
    assignment: Annotated[
        str | None, typer.Option(metavar="NAME", help="compare this folder of each submission, as in submitted/")
    ] = None,
) -> None:
    """Write a report that shows near-copies among submissions side by side. It changes no mark."""
    from rlhf_course.grading.submissions.limited_process import LimitedProcess
    from rlhf_course.grading.submissions.parse_submission import list_submissions
    from rlhf_course.grading.submissions.reader import SubmissionReader
    from rlhf_course.similarity.limited_normalizer import LIMITS, LimitedNormalizer
    from rlhf_course.similarity.pages import write_report
    from rlhf_course.similarity.pairs import similar_pairs

    parts = select_parts(part)
    with SubmissionReader() as reader:
        listed = list_submissions(folders, each=True, assignment=assignment)
        submissions = [reader.read(submission, parts) for submission in listed]
    with LimitedProcess(LIMITS) as process:
        normalizer = LimitedNormalizer(process)
        exercises = [exercise for part in parts for exercise in part.exercises]
        pairs = similar_pairs(submissions, exercises, normalize=normalizer)
    index = write_report(html, pairs, len(submissions))
    console = Console(soft_wrap=True, highlight=False)
    unread = [f"{each.name}: {warning}" for each in submissions if not each.files for warning in each.warnings[:1]]
    for warning in [*unread, *normalizer.warnings]:
        console.print(f"warning: {warning}", markup=False)
    for pair in pairs[:10]:
        matches = ", ".join(f"{match.exercise} {match.similarity:.0%}" for match in pair.matches)
        console.print(f"{pair.left} and {pair.right}: {matches}", markup=False)
    console.print(f"{len(pairs)} pairs among {len(submissions)} submissions; the report is {index}", markup=False)
