"""Define the options that `grade` and `report` share."""

from pathlib import Path
from typing import Annotated

import typer

HtmlFolder = Annotated[
    Path | None, typer.Option("--html", help="write a page for each learner and one for the class to this folder")
]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="write a row for each submission to this file")]
CommentsFile = Annotated[
    Path | None,
    typer.Option(
        "--comments",
        metavar="FILE",
        help="the instructor's comments; by default comments.toml beside the results",
    ),
]
