"""Record a run in Weights & Biases, if its settings say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError, missing_extra
from rlhf_course.rl.args import RLHFArgs

_SAMPLES_LOGGED = 16
_ADVICE = "run `wandb login`, or set WANDB_MODE=offline, or leave use_wandb False"


def check_wandb(args: RLHFArgs) -> None:
    """Check that a run can be recorded, before its folder is made.

    Raises:
        CourseError: Wandb is not installed, or has no API key.
    """
    if not args.use_wandb:
        return
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise missing_extra("use_wandb", "wandb") from error

    try:
        ready = wandb.setup().settings.mode != "online" or wandb.login(prompt=False)
    except wandb.errors.Error as error:
        raise CourseError(f"use_wandb: {error}; {_ADVICE}") from error
    if not ready:
        raise CourseError(f"use_wandb: Weights & Biases found no API key; {_ADVICE}")


class WandbLog:
    """The open record of one run in Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def add(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Log a phase's metrics and some of its samples; the step is the phase."""
        import wandb

        columns = ["reward", "ref_logprob", "text"]
        data = [[sample[name] for name in columns] for sample in samples[:_SAMPLES_LOGGED]]
        table = wandb.Table(columns=[*columns], data=data)
        self._run.log({**row, "samples": table}, step=row["phase"])


@contextmanager
def wandb_log(args: RLHFArgs, path: Path, config: dict[str, Any]) -> Iterator[WandbLog | None]:
    """Open a run's record until the block ends; a resumed run continues its own.

    Yields:
        The record, or None where `use_wandb` is False.

    Raises:
        CourseError: Weights & Biases reported an error.
    """
    if not args.use_wandb:
        yield None
        return
    import wandb

    try:
        run = wandb.init(
            project=args.wandb_project_name,
            entity=args.wandb_entity,
            name=config["run_name"],
            id=config["wandb_id"],
            resume="allow",
            config=config,
            dir=path,
        )
    except wandb.errors.Error as error:
        raise CourseError(f"use_wandb: {error}; {_ADVICE}") from error
    try:
        yield WandbLog(run)
    finally:
        run.finish()
