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


def usable_device(device: str | torch.device) -> torch.device:
    """Return a device on which torch can make a tensor.

    Raises:
        CourseError: There is no such device here.
    """
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # a NotImplementedError is a RuntimeError
        raise CourseError(f"device takes a device that torch can use here, such as cpu, got {str(device)!r}") from error
    return device
