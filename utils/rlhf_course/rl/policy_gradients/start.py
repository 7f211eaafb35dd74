"""Make the model that a run on a task starts from: the base model after supervised fine-tuning."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.rl.models import load_model
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.sft import SFTTrainer
from rlhf_course.rl.run_folder import load_checkpoint, load_config
from rlhf_course.rl.show import Display


def starting_model(args: TaskArgs) -> Any:
    """Return the model of the run that settings start from; without one, fine-tune the base model.

    Raises:
        CourseError: The folder holds no run of a task, or its base model or task is another one.
    """
    return fine_tuned(args) if args.start is None else load_start(args)


def fine_tuned(args: TaskArgs) -> Any:
    """Return the base model after supervised fine-tuning, as `--run sft` with the same seed leaves it."""
    own = {
        name: getattr(args, name) for name in ("seed", "base_model", "task", "digits", "demonstrations", "batch_size")
    }
    settings = TaskArgs.for_run("sft", **own)
    trainer = SFTTrainer(replace(settings, evaluation_interval=settings.total_phases + 1))
    with Display(True, settings.total_phases, 0) as display:
        for step in range(settings.total_phases):
            loss = trainer.learn(trainer.batch_of(step))
            display.advance(step + 1, f"fine-tuning on demonstrations: loss {loss:.3f}")
    return trainer.model


def load_start(args: TaskArgs) -> Any:
    """Return the model of the run that settings start from.

    Raises:
        CourseError: The folder holds no run of a task, or its base model or task is another one.
    """
    path = Path(str(args.start)).expanduser()
    recorded = load_config(path)["args"]
    for name, wanted in asdict(args).items():
        if name in ("base_model", "task") and recorded.get(name) != wanted:
            raise CourseError(f"start: {path} is a run with {name} {recorded.get(name)!r}, and this run has {wanted!r}")
    model = load_model(args.base_model)
    model.load_state_dict(load_checkpoint(path)["model"])
    return model
