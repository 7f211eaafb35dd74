"""Drivers of `GRPOTrainer`: what the sandbox does with the learner's class."""

from typing import Any

from torch import Tensor

from rlhf_course.grading.drivers.plain import plain


def forward(answer: Any, values: Tensor) -> Any:
    """TODO: make an object, call its methods and return results that are tensors, numbers, texts, lists or dicts."""
    return plain({"result": answer().forward(values)})
