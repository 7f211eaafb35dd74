"""`rlhf-course similarity`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(similarity)


def similarity(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="folders of submissions, such as nbgrader's submitted/")
    ],
    html: Annotated[Path, typer.Option(help="write the report to this folder")],
) -> None:
    """Show near-copies among submissions side by side: a hint to look, never a mark."""
    from rlhf_course.grading.submissions.parse_submission import list_submissions, read_submission
    from rlhf_course.similarity.pages import write_report
    from rlhf_course.similarity.pairs import similar_pairs

    submissions = [read_submission(one) for one in list_submissions(folders, each=True)]
    pairs = similar_pairs(submissions)
    page = write_report(html, pairs, len(submissions))
    console = Console(soft_wrap=True, highlight=False)
    for pair in pairs[:10]:
        names = ", ".join(f"{match.exercise} {match.alike:.0%}" for match in pair.matches)
        console.print(f"{pair.left} and {pair.right}: {names}", markup=False)
    console.print(f"{len(pairs)} pairs among {len(submissions)} submissions; {page}", markup=False)
