"""The optimizer's schedule."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.fused import fuse_optimizer


def lr_factor(step: int, warmup_steps: int, total_phases: int, final_scale: float) -> float:
    """What learning rates are multiplied by in a phase (`step`, from 0).

    step / warmup_steps during warm-up, so that the first phase of a warm-up learns nothing; then linear from 1 down to
    `final_scale` at `total_phases`.
    """
    if step < warmup_steps:
        return step / warmup_steps
    done = min(1.0, (step - warmup_steps) / (total_phases - warmup_steps))
    return 1 - (1 - final_scale) * done


def get_optimizer_and_scheduler(args: RLHFArgs, model: Any) -> tuple[Optimizer, LambdaLR]:
    """The learner's optimizer, and the schedule that the trainer steps once a phase.

    Raises:
        CourseError: `get_optimizer` returned none.
    """
    optimizer = imported_answer("get_optimizer")(model, args.base_lr, args.head_lr)
    if not isinstance(optimizer, Optimizer):
        got = "None" if optimizer is None else f"a {type(optimizer).__name__}"
        raise CourseError(f"get_optimizer returned {got}, should return an optimizer of torch's")

    fuse_optimizer(optimizer)

    def factor(step: int) -> float:
        return lr_factor(step, args.warmup_steps, args.total_phases, args.final_scale)

    return optimizer, LambdaLR(optimizer, lr_lambda=factor)
