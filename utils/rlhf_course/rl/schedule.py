"""Make the optimizer and the schedule of its learning rates."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.fused import fuse_optimizer


def lr_factor(step: int, warmup_steps: int, total_phases: int, final_scale: float) -> float:
    """Return the factor of the learning rates in a phase.

    During the warm-up it is step / warmup_steps, so the first phase of a warm-up learns nothing. Then it falls linearly
    from 1 to `final_scale` at `total_phases`.

    Args:
        step: The phase, from 0.
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / (total_phases - warmup_steps))
    return 1 - (1 - final_scale) * progress


def get_optimizer_and_scheduler(args: RLHFArgs, model: Any) -> tuple[Optimizer, LambdaLR]:
    """Return the learner's optimizer, and the schedule that the trainer steps once a phase.

    Raises:
        CourseError: `get_optimizer` did not return an optimizer.
    """
    optimizer = imported_answer("get_optimizer")(model, args.base_lr, args.head_lr)
    if not isinstance(optimizer, Optimizer):
        got = "None" if optimizer is None else f"a {type(optimizer).__name__}"
        raise CourseError(f"get_optimizer returned {got}, should return a torch.optim.Optimizer")

    fuse_optimizer(optimizer)

    def factor(step: int) -> float:
        return lr_factor(step, args.warmup_steps, args.total_phases, args.final_scale)

    return optimizer, LambdaLR(optimizer, lr_lambda=factor)
