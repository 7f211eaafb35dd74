"""Cases that differ from another case in one circumstance, as the hidden tests' inputs do."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from rlhf_course.checks.core import Case
from rlhf_course.checks.layouts import slice_of_larger


def sliced(case: Case) -> Case:
    """Return a case whose tensors are slices of larger ones, as the trainer passes them."""
    return _with_tensors(case, slice_of_larger, "slices of larger tensors, as the trainer passes them")


def in_float64(case: Case) -> Case:
    """Return a case whose float tensors are float64."""
    return _with_tensors(
        case, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, "float64 tensors"
    )


def with_equal_rows(case: Case) -> Case:
    """Return a case in which all rows of each tensor are equal to its first row."""
    return _with_tensors(case, lambda tensor: tensor[:1].expand_as(tensor).clone(), "tensors whose rows are all equal")


def requiring_gradients(case: Case) -> Case:
    """Return a case whose float tensors require gradients."""
    return _with_tensors(
        case, lambda tensor: tensor.clone().requires_grad_(tensor.is_floating_point()), "tensors that require gradients"
    )


def other_values(case: Case) -> Case:
    """Return a case with other numbers in tensors of the same sizes."""
    return _with_tensors(case, _reversed, "other values of the same sizes")


def _reversed(tensor: Tensor) -> Tensor:
    backwards = tensor.flip(list(range(tensor.dim())))
    return -backwards if tensor.is_floating_point() else backwards


def variations(case: Case, **others: Any) -> dict[str, tuple[Case, Case]]:
    """Return for each of some arguments a case and one that differs from it in this argument alone.

    Args:
        case: The case.
        others: Another value of each argument, with which the right result is another one, too. It is no permutation
            of the first value: an answer whose result is a sum would not change with that.
    """
    return {name: (case, replace(case, inputs={**case.inputs, name: value})) for name, value in others.items()}


def _with_tensors(case: Case, change: Any, phrase: str) -> Case:
    inputs: Mapping[str, Any] = {
        name: change(value) if isinstance(value, Tensor) else value for name, value in case.inputs.items()
    }
    return replace(case, description=f"{case.description}: {phrase}", inputs=inputs)
