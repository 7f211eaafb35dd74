"""Compare what a function returned with the right result: its form in one test, its values in all others.

A wrong dtype, container or shape that can be mended is mended before values are compared, so that it costs only the
test of the form. Messages name the circumstance and how the result is related to the right one, and no drawn value.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.relations import Formula, find_relation
from rlhf_course.checks.torch_settings import SETTINGS
from rlhf_course.grading.judge.circumstances import Call
from rlhf_course.grading.judge.text_relations import text_relation
from rlhf_course.grading.sandbox.answers import AnswerError

RTOL, ATOL = 1e-4, 1e-5
# The tolerance for float64 tensors that refuses what was computed in float32.
DOUBLE_PRECISION = {"rtol": 1e-9, "atol": 1e-9}
NO_INFERENCE = "no backward pass can use them; take torch.no_grad() in place of torch.inference_mode()"
# A list with more entries than this times those of the right result is not made into a tensor.
_MAX_SIZE_FACTOR = 8


@dataclass(frozen=True)
class Comparison:
    """A comparison that a test made.

    Attributes:
        subject: The result and its circumstance in words.
        got: The result of the answer.
        wanted: The right results.
    """

    subject: str
    got: Any
    wanted: Sequence[Tensor]


_COMPARISONS: ContextVar[list[Comparison] | None] = ContextVar("comparisons", default=None)


@contextmanager
def recorded_comparisons() -> Iterator[list[Comparison]]:
    """Yield a list to which each comparison of values in this thread is added until the block ends."""
    comparisons: list[Comparison] = []
    token = _COMPARISONS.set(comparisons)
    try:
        yield comparisons
    finally:
        _COMPARISONS.reset(token)


def expect_form(got: Any, wanted: Tensor, subject: str, dtype: torch.dtype | None = torch.float32) -> None:
    """Assert that a result is a tensor of the right dtype, shape and device.

    Args:
        got: The result of the answer.
        wanted: The right result, for its shape.
        subject: The result and its circumstance in words.
        dtype: The right dtype, which is the inputs' dtype as a rule; None if any float dtype is right.

    Raises:
        AssertionError: The result has another form; the message says which.
    """
    assert isinstance(got, Tensor), f"{subject} should be a tensor; {_type_in_words(got)} came"
    assert got.device.type == "cpu", f"{subject} should be on the device of its input; it is on another"
    dimensions = wanted.dim()
    right = f"{dimensions} dimension{'s' if dimensions > 1 else ''}" if dimensions else "no dimension: it is one number"
    assert got.dim() == dimensions, f"{subject} should have {right}; {got.dim()} came"
    for axis, (size, right_size) in enumerate(zip(got.shape, wanted.shape, strict=True)):
        assert size == right_size, f"{subject} has another size than it should have along dimension {axis}"
    if dtype is None:
        assert got.is_floating_point(), f"{subject} should hold floats; {_dtype_name(got.dtype)} came"
    else:
        right = _dtype_name(dtype)
        assert got.dtype == dtype, f"{subject} should have the dtype {right}; {_dtype_name(got.dtype)} came"


def expect_values(
    got: Any,
    wanted: Tensor | Sequence[Tensor],
    subject: str,
    why: str = "",
    call: Call | None = None,
    formula: Formula | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> Tensor:
    """Assert that a result holds the right numbers, in whatever form it can be mended from.

    Args:
        got: The result of the answer.
        wanted: The right result; several tensors of one shape if each of them is right.
        subject: The result and its circumstance in words, such as `call.subject("The penalty")`.
        why: What the right numbers are, for a learner who got others.
        call: The call, by whose arguments a relation to the right result is looked for.
        formula: The function that computes the right result from `call.exact`.
        rtol: The relative tolerance.
        atol: The absolute tolerance.

    Returns:
        The mended result, in double precision; gradients flow through it if they do through the result.

    Raises:
        AssertionError: The numbers differ; the message says how, if the difference has a simple form.
    """
    right = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    if (comparisons := _COMPARISONS.get()) is not None:
        comparisons.append(Comparison(subject, got, right))
    mended = mend(got, right[0].shape)
    assert mended is not None, f"{subject} should be a tensor; {_type_in_words(got)} came"
    values, exact = mended.detach(), [tensor.detach().double() for tensor in right]
    assert values.shape == exact[0].shape, f"{subject} {_shape_difference(values, exact[0])}"
    if not any(_is_close(values, tensor, rtol, atol) for tensor in exact):
        arguments = dict(call.exact) if call is not None else {}
        relation = find_relation(values, exact[0], formula, arguments) or text_relation(values, exact[0], arguments)
        raise AssertionError(f"{subject} {relation or _direction(values, exact[0])}{f': {why}' if why else ''}")
    return mended


def _is_close(values: Tensor, wanted: Tensor, rtol: float, atol: float) -> bool:
    """Do what `torch.allclose` does, with fewer passes over large tensors where all numbers are finite and close."""
    excess = (values - wanted).abs_().sub_(wanted.abs().mul_(rtol))
    is_clearly_close = excess.numel() > 0 and bool(excess.max() <= atol)
    return is_clearly_close or torch.allclose(values, wanted, rtol=rtol, atol=atol)


def gradient_at(tensor: Tensor, total: Tensor, subject: str) -> Tensor:
    """Return the gradient of one number at a tensor.

    Args:
        tensor: The tensor, an argument of an answer.
        total: The number, which is computed from the answer's result.
        subject: The gradient and its circumstance in words.

    Raises:
        AssertionError: There is no gradient, or the backward pass fails.
    """
    assert total.requires_grad, f"{subject} is missing: the result carries none"
    try:
        (gradient,) = torch.autograd.grad(total, tensor, allow_unused=True)
    except RuntimeError as error:
        raise AssertionError(f"{subject} cannot be computed: the backward pass raises an exception") from error
    assert gradient is not None, f"{subject} is missing: the result does not depend on that argument"
    return gradient


def is_right(answer: Any, call: Call, formulas: Sequence[Formula], rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Return whether a call gives the right numbers, for a test of gradients where another test compares the values.

    Args:
        answer: The answer.
        call: The call.
        formulas: The function that computes the right result from `call.exact`, or one for each of several results.
        rtol: The relative tolerance.
        atol: The absolute tolerance.
    """
    try:
        got = answer(*call.passed())
    except AnswerError as error:
        if error.kind != "error":
            raise
        return False
    parts = [got] if len(formulas) == 1 else got
    if not (isinstance(parts, list | tuple) and len(parts) == len(formulas)):
        return False
    pairs = [
        (mend(part, call.right(formula).shape), call.right(formula))
        for part, formula in zip(parts, formulas, strict=True)
    ]
    return all(
        part is not None
        and part.shape == wanted.shape
        and _is_close(part.detach().double(), wanted.detach().double(), rtol, atol)
        for part, wanted in pairs
    )


def expect_gradient_as_elsewhere(got: Tensor, ordinary: Any, subject: str) -> None:
    """Assert that a result carries a gradient if the same answer's result for ordinary inputs does.

    An answer without any gradient loses the points of the test of gradients, and not those of other tests too.

    Args:
        got: The mended result.
        ordinary: The result of the answer for ordinary inputs that require a gradient.
        subject: The gradient and its circumstance in words.
    """
    has_gradient = getattr(ordinary, "requires_grad", False)
    assert got.requires_grad or not has_gradient, f"{subject} is missing, while other calls have one: detach nothing"


def expect_unchanged(call: Call, passed: Sequence[Any]) -> None:
    """Assert that an answer left its arguments as they were: their values, and whether they require a gradient.

    Args:
        call: The call.
        passed: The list that `call.passed` returned, after the answer was called with it.

    Raises:
        AssertionError: An argument differs; the message says which.
    """
    for name in call.changed(passed):
        raise AssertionError(f"`{name}` was changed in place: make new tensors")
    for name in call.flagged(passed):
        raise AssertionError(f"The call changed whether `{name}` requires a gradient: leave it as it was")


def expect_value_error(answer: Any, arguments: Sequence[Any], subject: str) -> None:
    """Assert that a call raises a ValueError.

    Args:
        answer: The answer, which gives the right result for other arguments: a test has to require that.
        arguments: The arguments of the call.
        subject: What is wrong with the arguments, such as "A batch without a pair".

    Raises:
        AssertionError: A result came, or another exception.
    """
    try:
        answer(*arguments)
    except AnswerError as error:
        if error.kind != "error" or not error.exception:
            raise
        kind = error.exception[0]
        assert "ValueError" in error.exception, f"{subject} should raise a ValueError; it raised {kind}"
    else:
        raise AssertionError(f"{subject} should raise a ValueError; a result came")


def expect_results_stay(
    answer: Any,
    calls: Sequence[Call],
    formula: Formula,
    subject: str,
    rtol: float = RTOL,
    atol: float = ATOL,
    feeds_a_loss: bool = False,
) -> None:
    """Assert that a function keeps nothing between calls, and leaves torch as it was.

    What it returned has to be right after later calls, too, and a call with the tensors of an earlier one has to be
    right for the numbers that they hold now.

    Args:
        answer: The answer, which has the driver `results_of_calls`.
        calls: Two calls or more with tensors of the same sizes.
        formula: The function that computes the right result from a call's `exact`.
        subject: The result in words.
        rtol: The relative tolerance.
        atol: The absolute tolerance.
        feeds_a_loss: Whether a trainer computes a loss from the results, so that they must be no inference tensors.

    Raises:
        AssertionError: A later call has changed an earlier result, a result is wrong or an inference tensor, or torch
            was seeded or has other settings than before, or computes gradients where the caller has switched them off.
    """
    probe = torch.arange(1.0, 4.0)
    rewritten = calls[0].with_tensors_of(calls[1], "for tensors to which other numbers were written since another call")
    report = answer.results_of_calls(calls=[call.passed() for call in calls], probe=probe, rewritten=rewritten.passed())
    for got, call in zip(report["results"], calls, strict=True):
        why = "a later call must not change a result: return a new tensor in each call"
        expect_values(got, formula(**call.exact), f"{subject} after a later call", why, rtol=rtol, atol=atol)
    why = "it depends on what the tensors hold now: keep nothing from an earlier call"
    expect_values(report["again"], formula(**rewritten.exact), rewritten.subject(subject), why, rtol=rtol, atol=atol)
    expect_torch_as_it_was(report)
    expect_gradients_off(report)
    assert not (feeds_a_loss and report["inference"]), f"{subject} is an inference tensor: {NO_INFERENCE}"
    expect_values(report["gradient"], probe, "A gradient that is computed after the calls")


def expect_torch_as_it_was(report: Mapping[str, Any], subject: str = "A call") -> None:
    """Assert that calls left torch's settings as they were, gradients switched on, and did not seed torch.

    Args:
        report: What the driver's `watched_torch` has found.
        subject: What was called.

    Raises:
        AssertionError: They did not.
    """
    assert report["gradients"], f"{subject} switches gradients off for all later code: leave torch as it was"
    assert not report["seeded"], (
        f"{subject} seeds torch: what is sampled after it would not depend on the run's own seed"
    )
    expect_settings_as_they_were(report, subject)


def expect_gradients_off(report: Mapping[str, Any], subject: str = "a call") -> None:
    """Assert that a call computed no gradients where its caller had switched them off, as a rollout does.

    Args:
        report: What a driver has found: as `attached`, whether a result had a gradient all the same.
        subject: What was called.

    Raises:
        AssertionError: It computed gradients.
    """
    assert not report["attached"], (
        f"Under the caller's torch.no_grad, {subject} computes gradients all the same: leave that to the caller, or "
        "a rollout keeps the graph of each call"
    )


def expect_settings_as_they_were(report: Mapping[str, Any], subject: str) -> None:
    """Assert that calls left torch's settings as they were; whether gradients are switched on is none of these.

    Args:
        report: What the driver's `watched_settings` has found.
        subject: What was called.

    Raises:
        AssertionError: They did not.
    """
    changed = [words for words in SETTINGS if words in report["settings"]]
    assert not changed, f"{subject} changes a setting of torch for all later code, {changed[0]}: leave it as it was"


def expect_calls_leave_torch_alone(answer: Any, calls: Sequence[Sequence[Any]]) -> None:
    """Assert that a function leaves torch as it was.

    Args:
        answer: The answer, which has the driver `results_of_calls`.
        calls: The arguments of some calls.

    Raises:
        AssertionError: It does not.
    """
    probe = torch.arange(1.0, 4.0)
    report = answer.results_of_calls(calls=calls, probe=probe)
    expect_torch_as_it_was(report)
    expect_gradients_off(report)
    expect_values(report["gradient"], probe, "A gradient that is computed after the calls")


def mend(got: Any, shape: torch.Size) -> Tensor | None:
    """Return a result as a double-precision tensor, in the right shape if only axes of length 1 differ.

    Args:
        got: A tensor, a number, or lists and tuples of them.
        shape: The right shape.

    Returns:
        The tensor; None if nothing of that kind came. A tensor with another number of entries is returned as it is,
        since its numbers cannot be right, and it may be large.
    """
    if isinstance(got, Tensor) and got.numel() != shape.numel():
        return got
    if _size(got) > _MAX_SIZE_FACTOR * max(1, shape.numel()):
        return None
    tensor = _as_tensor(got)
    if tensor is None:
        return None
    tensor = tensor.double()
    without_ones = [size for size in shape if size != 1]
    if tensor.shape != shape and [size for size in tensor.shape if size != 1] == without_ones:
        return tensor.reshape(shape)
    return tensor


def _size(got: Any) -> int:
    """Return the number of entries of a result."""
    if isinstance(got, Tensor):
        return got.numel()
    return sum(map(_size, got)) if isinstance(got, list | tuple) else 1


def _as_tensor(got: Any) -> Tensor | None:
    if isinstance(got, Tensor):
        return got.cpu()
    if isinstance(got, bool | int | float):
        return _from_numbers(got)
    if isinstance(got, list | tuple) and got:
        items = [_as_tensor(item) for item in got]
        tensors = [item.double() for item in items if item is not None]
        if len(tensors) == len(got) and len({tensor.shape for tensor in tensors}) == 1:
            return torch.stack(tensors)
    return None


def _from_numbers(number: float) -> Tensor | None:
    try:
        return torch.tensor(float(number), dtype=torch.float64)
    except OverflowError:  # An integer may have any number of digits.
        return None


def _shape_difference(got: Tensor, wanted: Tensor) -> str:
    if wanted.dim() == 0:
        return f"should be one number; a tensor with {got.dim()} dimension{'s' if got.dim() > 1 else ''} came"
    if got.dim() != wanted.dim():
        return f"should have {wanted.dim()} dimension{'s' if wanted.dim() > 1 else ''}; {got.dim()} came"
    if got.dim() == 2 and got.T.shape == wanted.shape:
        return "has its two dimensions swapped"
    axis = next(axis for axis in range(got.dim()) if got.shape[axis] != wanted.shape[axis])
    return f"has another size than it should have along dimension {axis}"


def _direction(got: Tensor, wanted: Tensor) -> str:
    if wanted.numel() != 1:
        return "is not right"
    return "is too large" if float(got) > float(wanted) else "is too small"


def _type_in_words(got: Any) -> str:
    return "nothing (None)" if got is None else f"a {type(got).__name__}"


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
