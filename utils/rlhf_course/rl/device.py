"""Choose the device of models and tensors."""

import os

import torch

from rlhf_course.errors import CourseError


def pick_device() -> torch.device:
    """Return the device of runs: `RLHF_COURSE_DEVICE` where it is set, else CUDA, else Apple's MPS, else the CPU.

    Raises:
        CourseError: The variable does not name a device of torch.
    """
    if name := os.environ.get("RLHF_COURSE_DEVICE"):
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise CourseError(f"RLHF_COURSE_DEVICE takes cpu, cuda, cuda:1, mps, …, got {name!r}") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
