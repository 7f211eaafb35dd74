"""Run the commands of the course: `rlhf-course COMMAND`."""

import errno
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from rlhf_course.course import DEFAULT_PART, EXERCISES, select_parts
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import course_answers
from rlhf_course.paths import PACKAGE
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.phase_runs import PHASE_RUNS

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
    for exercise in EXERCISES:
        numbers = (exercise.points, exercise.difficulty, exercise.importance)
        table.add_row(exercise.name, exercise.file, exercise.notebook, *map(str, numbers), exercise.minutes_text)
    Console(width=130).print(table)


@app.command()
def doctor() -> None:
    """Show which components of the course this machine has, and what each missing one would be for."""
    from rlhf_course.doctor import print_report

    print_report(Console())


def demo(
    out: Annotated[Path | None, typer.Option(help="folder of the run; by default a new one in runs/")] = None,
    part: Annotated[str, typer.Option(help="the part of the course to demonstrate")] = DEFAULT_PART.name,
) -> None:
    """Grade three example submissions, then train the embedded model to write dots.

    With --part part2_preferences: learn a reward from pairs of texts, and follow it too far. With --part
    part3_policy_gradients: learn to sort digits from a reward that can be checked, and from one that is broken.
    """
    from rlhf_course.demo import run_demo, run_policy_demo, run_preferences_demo
    from rlhf_course.grading.commands import grade_examples

    console = Console()
    (chosen,) = select_parts([part])
    if chosen is not DEFAULT_PART:
        run = run_preferences_demo if chosen.name == "part2_preferences" else run_policy_demo
        run(out, console)
        return
    console.print(
        "Three submissions, graded by the hidden tests: one is finished, one is half done, one has typical mistakes.\n"
    )
    grade_examples(console)
    console.print()
    run_demo(out)


def _setting_options() -> list[inspect.Parameter]:
    """Return a keyword parameter with a Typer option for each field of all runs' settings, but the reward."""
    classes: list[Any] = [*dict.fromkeys(PHASE_RUNS.values()), RLHFArgs]
    settings = {setting.name: setting for settings_class in classes for setting in fields(settings_class)}
    return [
        inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _without_none(setting.type) | None, typer.Option(help=setting.metadata["help"], show_default=False)
            ],
        )
        for setting in settings.values()
        if setting.name != "reward_fn"
    ]


def _without_none(annotation: Any) -> Any:
    """Return `T` for the annotation `T | None`, and any other annotation as it is."""
    return next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)


def _with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let Typer read the command's `**settings` as one option for each field of the runs' settings."""
    signature = inspect.signature(command)
    own = [option for option in signature.parameters.values() if option.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *_setting_options()])  # type: ignore[attr-defined]
    return command


@app.command()
@_with_setting_options
def train(
    *,
    out: Annotated[Path | None, typer.Option(help="folder of the run; by default a new one in runs/")] = None,
    resume: Annotated[Path | None, typer.Option(help="continue the run in this folder")] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="settings of a named run: collapse, periods (default), sentiment, overoptimise, "
            + ", ".join(PHASE_RUNS)
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="settings for a machine: auto (default), laptop, gpu, gpu-fast or gpu-large")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="periods, sentiment-embedded, sentiment-imdb, reward-model:FOLDER or package.module:function"
        ),
    ] = None,
    direction: Annotated[str | None, typer.Option(help="the sentiment that is rewarded: pos (default) or neg")] = None,
    code: Annotated[
        Path | None,
        typer.Option(help="folder that holds the code to train with, such as notebooks; by default solutions"),
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="train with the answers in --code also where checks do not pass")
    ] = False,
    lean: Annotated[
        bool | None, typer.Option(help="train with the trainer in solutions that saves time and memory")
    ] = None,
    **settings: Any,
) -> None:
    """Train a language model by RLHF."""
    from rlhf_course.notebook.training_gate import require_passing  # deferred: it loads torch
    from rlhf_course.rl.launch import resume_run, start_run

    gate = None if unchecked else require_passing
    given = {name: value for name, value in settings.items() if value is not None}
    if resume is None:
        if lean:
            course_answers("--lean")
        if lean and code is not None:
            raise CourseError("--lean trains with the solutions' own trainer: leave out --code")
        start_run(
            out,
            run or "periods",
            profile or "auto",
            reward,
            direction,
            code or course_answers(),
            given,
            bool(lean),
            gate,
        )
        return
    fixed = {"run": run, "profile": profile, "reward": reward, "direction": direction, "lean": lean}
    if refused := [name for name, value in {**fixed, **given}.items() if value is not None]:
        flags = ", ".join("--" + name.replace("_", "-") for name in refused)
        raise CourseError(f"a resumed run keeps its settings: leave out {flags}")
    resume_run(resume, out, code, gate)


_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)

# These commands are for instructors and authors. The bundle for learners does not contain their packages.
if (PACKAGE / "building").is_dir():
    app.command()(demo)
for _package in ("building", "grading", "nbgrader_course", "releasing", "similarity"):
    if (PACKAGE / _package).is_dir():
        importlib.import_module(f"rlhf_course.{_package}.commands").register(app)


def main() -> None:
    """Run the command line. A CourseError is shown as one line on stderr, with exit code 2."""
    if "--help" in sys.argv[2:]:  # also behind an option that takes a file, which would be named --help
        sys.argv[2:] = ["--help"]
    try:
        app()
    except CourseError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except SystemExit:
        try:
            sys.stdout.flush()
        except OSError as error:
            _exit_without_output(error)
        raise
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS:
            raise
        _exit_without_output(error)


def _exit_without_output(error: OSError) -> None:
    """End the process: silently where the reader has gone, as after `| head`, and else with a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it exits
    if isinstance(error, BrokenPipeError):
        sys.exit(128 + signal.SIGPIPE)
    print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
    sys.exit(1)
