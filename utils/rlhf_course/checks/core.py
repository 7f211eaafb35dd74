"""What the self-checks share: cases, observations, and the comparison with wanted ones and with known mistakes.

An *observation* is everything that is looked at when an answer meets a case: values, shape, dtype, gradients, changed
inputs, a raised exception. It is plain data, so a wrong answer is recognised by what it does, and its code stays home.
"""

import contextlib
import io
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf_course.course import BY_NAME
from rlhf_course.paths import CHECKS

RAISED = "raised"
Observation = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One visible case.

    Attributes:
        says: the input, as a message to the learner names it.
        inputs: arguments, in the order in which they are passed.
    """

    says: str
    inputs: Mapping[str, Any]


class Mismatch(AssertionError):
    """An answer did something else than was wanted.

    Attributes:
        case: the case it was seen on.
        key: what differs; `RAISED` where an exception came.
        got, wanted: as observed; None where there was nothing.
        error: the exception that came, or None.
    """

    def __init__(self, case: Case, key: str, got: Any, wanted: Any, error: BaseException | None) -> None:
        self.case, self.key, self.got, self.wanted, self.error = case, key, got, wanted, error
        super().__init__("\n".join(self.account()))

    def account(self) -> list[str]:
        """The difference in a few lines."""
        if self.key == RAISED:
            got, wanted = (one or "no exception" for one in (self.got, self.wanted))
            return [f"input:  {self.case.says}", f"got:    {got}", f"wanted: {wanted}"]
        got, wanted = difference(self.got, self.wanted)
        return [f"input:  {self.case.says}", f"got:    {self.key} {got}", f"wanted: {self.key} {wanted}"]


@dataclass(frozen=True)
class Diagnosis:
    """A known mistake that an answer behaves like."""

    name: str
    says: str


class Check:
    """The cases of one exercise, and what is wanted on each.

    Args:
        exercise: its name.
        cases: by name.
        observe: from an answer and a case's inputs to an observation.
        rtol, atol: how far numbers may be apart.
    """

    def __init__(
        self,
        exercise: str,
        cases: Mapping[str, Case],
        observe: Callable[[Any, Mapping[str, Any]], Observation],
        rtol: float = 5e-4,
        atol: float = 5e-5,
    ) -> None:
        self.exercise, self.cases, self._observe = exercise, dict(cases), observe
        self.rtol, self.atol = rtol, atol
        self.output = ""
        self._seen: dict[str, tuple[Observation, BaseException | None]] | None = None

    def observed(self, answer: Any, case: str) -> tuple[Observation, BaseException | None]:
        """What an answer does on a case, and the exception that it raised there or None."""
        if self._seen is not None and case in self._seen:
            return self._seen[case]
        printed = io.StringIO()
        error = None
        with preserved_state(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                observation = encode(self._observe(answer, self.cases[case].inputs))
            except (Exception, SystemExit) as raised:
                observation, error = {RAISED: type(raised).__name__}, raised
        self.output += printed.getvalue()
        if self._seen is not None:
            self._seen[case] = observation, error
        return observation, error

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """While it lasts, each case is tried once: for judging one answer."""
        self._seen, self.output = {}, ""
        try:
            yield
        finally:
            self._seen = None

    def require(self, answer: Any, case: str) -> None:
        """Ask that an answer does on a case what is wanted there.

        Raises:
            Mismatch: it does something else.
        """
        got, error = self.observed(answer, case)
        right = expected_results(self.exercise)[case]
        if any(self.same(got, one) for one in right):
            return
        nearest = max(right, key=lambda one: sum(self.same(got.get(key), one[key]) for key in one))
        for key in dict.fromkeys([RAISED, *got, *nearest]):
            if not self.same(got.get(key), nearest.get(key)):
                raise Mismatch(self.cases[case], key, got.get(key), nearest.get(key), error)

    def diagnose(self, answer: Any) -> Diagnosis | None:
        """The known mistake whose observations are those of an answer; None where there is none."""
        return self.diagnose_observed({case: self.observed(answer, case)[0] for case in self.cases})

    def diagnose_observed(self, seen: Mapping[str, Observation]) -> Diagnosis | None:
        """The known mistake whose observations on every case are those that were seen; None where there is none."""
        wanted = expected_results(self.exercise)
        for name, mistake in known_mistakes(self.exercise).items():
            if all(self._alike(seen[case], mistake["observed"][case], wanted[case]) for case in self.cases):
                return Diagnosis(name, mistake["description"])
        return None

    def _alike(self, got: Observation, mistaken: Observation, right: Sequence[Observation]) -> bool:
        """The same, or both right in one of several ways."""
        if self.same(got, mistaken):
            return True
        return all(any(self.same(one, wanted) for wanted in right) for one in (got, mistaken))

    def same(self, one: Any, other: Any) -> bool:
        """Whether two observations, or parts of them, are equal up to the tolerance."""
        return same(one, other, self.rtol, self.atol)


@cache
def _data(exercise: str) -> dict[str, Any]:
    return json.loads((CHECKS / BY_NAME[exercise].part / "data" / f"{BY_NAME[exercise].module}.json").read_text())


def expected_results(exercise: str) -> dict[str, list[Observation]]:
    """What is right on each case; several observations where there are several ways to be right."""
    return _data(exercise)["wanted"]


def known_mistakes(exercise: str) -> dict[str, dict[str, Any]]:
    """The known mistakes by name: the sentence that explains each (`says`), and what it does on each case (`observed`)."""
    return _data(exercise)["mistakes"]


def forget_data() -> None:
    """Read the data anew when it is next needed."""
    _data.cache_clear()


@contextmanager
def preserved_state() -> Iterator[None]:
    """Try an answer without leaving a trace in the random states, and without its warnings."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


# Observing.


def normal(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Normal numbers in float32, the same everywhere for the same seed."""
    return torch.tensor(np.random.RandomState(seed).standard_normal(shape) * scale, dtype=torch.float32)


def quarters(numbers: Tensor) -> Tensor:
    """Numbers rounded to quarters, so that adding 10000 to them in float32 loses nothing."""
    return (4 * numbers).round() / 4


def integers(least: int, below: int, *shape: int, seed: int) -> Tensor:
    """Whole numbers, the same everywhere for the same seed."""
    return torch.tensor(np.random.RandomState(seed).randint(least, below, shape), dtype=torch.long)


def observe_call(function: Callable, inputs: Mapping[str, Any], gradient_of: str | None = None) -> Observation:
    """Call a function and look at its result, at the gradient of one argument, and at whether arguments were changed."""
    passed = {name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()}
    if gradient_of is not None:
        passed[gradient_of].requires_grad_(True)
    result = function(*passed.values())
    seen = observe_result(result)
    if gradient_of is not None and isinstance(result, Tensor):
        seen[f"gradient of {gradient_of}"] = gradient(result, passed[gradient_of])
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            seen[f"{name} changed in place"] = not torch.equal(value, passed[name].detach())
    return seen


def observe_result(result: Any) -> Observation:
    """Type, shape, kind of number and values of a result."""
    if not isinstance(result, Tensor):
        return {"type": type(result).__name__}
    kind = "float" if result.is_floating_point() else str(result.dtype)
    return {"type": "Tensor", "shape": list(result.shape), "dtype": kind, "result": result}


def gradient(result: Tensor, of: Tensor) -> Tensor | str:
    """Gradient of a weighted sum of a result's entries."""
    if not result.requires_grad:
        return "none"
    weights = torch.arange(1, result.numel() + 1, dtype=result.dtype).reshape(result.shape)
    (found,) = torch.autograd.grad((result * weights).sum(), of, allow_unused=True)
    return "none" if found is None else found


# Observations as data.


def encode(value: Any) -> Any:
    """A value as JSON can hold it, numbers rounded to six digits."""
    if isinstance(value, Tensor):
        return encode(value.detach().cpu().tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
    return value


def same(one: Any, other: Any, rtol: float, atol: float) -> bool:
    """Whether two encoded values are equal, numbers up to a tolerance."""
    if (isinstance(one, float) and isinstance(other, int | float)) or (
        isinstance(other, float) and isinstance(one, int | float)
    ):
        return abs(one - other) <= atol + rtol * abs(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, rtol, atol) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], rtol, atol) for key in one)
    return type(one) is type(other) and one == other


# Observations as text.

_SHOWN = 8


def difference(got: Any, wanted: Any) -> tuple[str, str]:
    """Two encoded values as text; of two long lists, the first entries that differ."""
    if isinstance(got, list) and isinstance(wanted, list) and max(_size(got), _size(wanted)) > _SHOWN:
        index = _first_difference(got, wanted)
        if index:
            place = f"[{', '.join(map(str, index))}] = "
            return place + text(_at(got, index)), place + text(_at(wanted, index))
    return text(got), text(wanted)


def text(value: Any) -> str:
    """An encoded value, short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        shown = ", ".join(map(text, value[: _SHOWN + 1])) + (", …" if len(value) > _SHOWN + 1 else "")
        return f"[{shown}]"
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _at(value: Any, index: tuple[int, ...]) -> Any:
    for position in index:
        value = value[position]
    return value


def _first_difference(got: Any, wanted: Any) -> tuple[int, ...] | None:
    if not (isinstance(got, list) and isinstance(wanted, list)):
        return None if same(got, wanted, 5e-4, 5e-5) else ()
    if len(got) != len(wanted):
        return ()
    for position, (one, other) in enumerate(zip(got, wanted, strict=True)):
        inner = _first_difference(one, other)
        if inner is not None:
            return (position, *inner)
    return None
