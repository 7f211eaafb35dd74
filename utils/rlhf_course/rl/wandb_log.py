"""Record a run in Weights & Biases, if its settings say so."""

from collections.abc import Callable, Iterator
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
    except OSError:
        return  # it cannot write to the home folder; `wandb_log` warns where it does not work at all
    except wandb.errors.Error as error:
        raise CourseError(f"use_wandb: {error}; {_ADVICE}") from error
    if not ready:
        raise CourseError(f"use_wandb: Weights & Biases found no API key; {_ADVICE}")


class WandbLog:
    """The open record of one run in Weights & Biases. It ends at its first error, and the training goes on.

    Args:
        run: What `wandb.init` returned.
        warn: Function that shows a warning.
    """

    def __init__(self, run: Any, warn: Callable[[str], None]) -> None:
        self._run = run
        self._warn = warn

    def add(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Log a phase's metrics and some of its samples; the step is the phase."""
        if self._run is None:
            return
        import wandb

        columns = ["reward", "ref_logprob", "text"]
        data = [[sample[name] for name in columns] for sample in samples[:_SAMPLES_LOGGED]]
        try:
            self._run.log({**row, "samples": wandb.Table(columns=[*columns], data=data)}, step=row["phase"])
        except Exception as error:
            self._run = None
            self._warn(_not_recorded(error))

    def finish(self) -> None:
        """Close the record."""
        if self._run is None:
            return
        try:
            self._run.finish()
        except Exception as error:
            self._warn(_not_recorded(error))


def _not_recorded(error: Exception) -> str:
    return (
        f"use_wandb: Weights & Biases does not record this run any more ({type(error).__name__}: {error}); the run "
        "goes on, and its folder holds all of it"
    )


@contextmanager
def wandb_log(
    args: RLHFArgs, path: Path, config: dict[str, Any], warn: Callable[[str], None]
) -> Iterator[WandbLog | None]:
    """Open a run's record until the block ends; a resumed run continues its own. Its errors are shown as warnings.

    Args:
        args: The run's settings.
        path: The run's folder.
        config: The content of its `config.json`.
        warn: Function that shows a warning.

    Yields:
        The record, or None where `use_wandb` is False or Weights & Biases does not start.
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
    except Exception as error:  # of the network, the disk or the service
        warn(_not_recorded(error))
        yield None
        return
    log = WandbLog(run, warn)
    try:
        yield log
    finally:
        log.finish()
