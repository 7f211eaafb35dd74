"""The command line: `rlhf-course COMMAND`."""

import importlib
import inspect
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from rlhf_course.course import EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.paths import SOLUTIONS
from rlhf_course.rl.args import RLHFArgs

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def exercises(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """List the exercises."""
    if as_json:
        print(json.dumps([exercise.as_json() for exercise in EXERCISES], indent=2))
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("exercise", "file", "notebook", "points", "difficulty", "importance", "minutes"):
        table.add_column(heading, no_wrap=True)
    for one in EXERCISES:
        minutes = "-".join(str(minute) for minute in dict.fromkeys(one.minutes))
        numbers = (one.points, one.difficulty, one.importance)
        table.add_row(one.name, one.file, one.notebook, *map(str, numbers), minutes)
    Console(width=130).print(table)


@app.command()
def doctor() -> None:
    """Say what this machine has, and what each missing piece would give."""
    from rlhf_course.doctor import print_report

    print_report(Console())


def demo(
    out: Annotated[Path | None, typer.Option(help="folder of the run; by default a new one in runs/")] = None,
) -> None:
    """See three submissions graded, then the embedded model learn to write dots: the run `collapse`, before and after."""
    from rlhf_course.demo import run_demo
    from rlhf_course.grading.commands import grade_examples

    console = Console()
    console.print(
        "Three submissions, graded by the hidden tests: one is finished, one is half-way, one holds typical mistakes.\n"
    )
    grade_examples(console)
    console.print()
    run_demo(out)


def train(
    out: Path | None,
    resume: Path | None,
    run: str | None,
    profile: str | None,
    reward: str | None,
    direction: str | None,
    code: Path | None,
    lean: bool | None,
    **settings: Any,
) -> None:
    """Train a language model by RLHF."""
    from rlhf_course.rl.launch import resume_run, start_run

    given = {name: value for name, value in settings.items() if value is not None}
    if resume is None:
        if lean and code is not None:
            raise CourseError("--lean trains with the solutions' own trainer: leave out --code")
        start_run(out, run or "periods", profile or "auto", reward, direction, code or SOLUTIONS, given, bool(lean))
        return
    others = {
        "run": run,
        "profile": profile,
        "reward": reward,
        "direction": direction,
        "code": code,
        "lean": lean,
        **given,
    }
    if named := [name for name, value in others.items() if value is not None]:
        flags = ", ".join("--" + name.replace("_", "-") for name in named)
        raise CourseError(f"a resumed run keeps its settings: leave out {flags}")
    resume_run(resume, out)


_TRAIN_FLAGS = {
    "out": (Path, "folder of the run; by default a new one in runs/"),
    "resume": (Path, "go on with the run in this folder"),
    "run": (str, "settings of a named run: collapse, periods (default) or sentiment"),
    "profile": (str, "settings for a machine: auto (default), laptop, gpu, gpu-fast or gpu-large"),
    "reward": (str, "periods, sentiment-embedded, sentiment-imdb or package.module:function"),
    "direction": (str, "which sentiment is rewarded: pos (default) or neg"),
    "code": (Path, "folder that holds the part's package to train with; by default the solutions"),
    "lean": (bool, "train with the solutions' trainer that wastes neither time nor memory"),
}


def _signature_with_every_setting() -> inspect.Signature:
    """The signature of `train` as Typer reads it: its own flags, and one for each field of `RLHFArgs`."""
    help_of = dict(re.findall(r"^    (\w+): (.+)$", inspect.getdoc(RLHFArgs) or "", flags=re.MULTILINE))
    settings = {
        field.name: (_plain_type(field.type), help_of[field.name])
        for field in fields(RLHFArgs)
        if field.name != "reward_fn"
    }
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, typer.Option(help=text, show_default=False)],
            )
            for name, (kind, text) in {**_TRAIN_FLAGS, **settings}.items()
        ]
    )


def _plain_type(annotation: Any) -> type:
    """The type of a field, without its None."""
    return next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)


train.__signature__ = _signature_with_every_setting()  # type: ignore[attr-defined]
app.command()(train)

# Commands for instructors and authors; what learners receive holds none of what they need.
_HERE = Path(__file__).parent
if (_HERE / "building").is_dir():
    app.command()(demo)
for _package in ("building", "grading", "nbgrader_course", "releasing", "similarity"):
    if (_HERE / _package).is_dir():
        importlib.import_module(f"rlhf_course.{_package}.commands").register(app)


def main() -> None:
    """Run the command line; what the user can put right is one line on stderr and exit code 2."""
    try:
        app()
    except CourseError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
