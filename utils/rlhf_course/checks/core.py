"""Cases, observations and comparisons that the self-checks share.

An *observation* is everything that a check looks at when an answer runs on a case: values, shape, dtype, gradients,
changed inputs, and a raised exception. It is plain data, so that a known mistake can be recognised by what it does, and
its code need not be shipped to learners.
"""

import contextlib
import io
import json
import math
import random
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, wraps
from types import FunctionType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from rlhf_course.checks.layouts import copy_with_strides
from rlhf_course.checks.relations import every_relation, find_relation
from rlhf_course.checks.torch_settings import preserved_torch_settings
from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.paths import CHECKS

RAISED = "raised"

# A learner's function or class, as the test of a self-check takes it.
Answer: TypeAlias = Callable[..., Any]

# The names of what was looked at, with the values as `encode` returns them.
Observation: TypeAlias = dict[str, Any]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Case:
    """A visible case of a self-check.

    Attributes:
        description: The input, as a message to the learner names it.
        inputs: The arguments, in the order in which they are passed.
        method: The method that is checked, where the cases of a class check different ones, each alone; else empty.
        refused_because: Why an answer has to raise an exception, as a clause; empty if it has to return a result.
    """

    description: str
    inputs: Mapping[str, Any]
    method: str = ""
    refused_because: str = ""


class Mismatch(AssertionError):
    """An answer's observation on a case differs from the expected one.

    Attributes:
        case: The case on which the answer ran.
        key: The name of the first value that differs; `RAISED` if the answer raised an exception.
        got: The observed value, or None if there is none.
        wanted: The expected value, or None if there is none.
        error: The exception that the answer raised, or None.
    """

    def __init__(self, case: Case, key: str, got: Any, wanted: Any, error: BaseException | None) -> None:
        self.case, self.key, self.got, self.wanted, self.error = case, key, got, wanted, error
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return the input, the observed and the expected value as three lines of text."""
        if self.key == RAISED:
            got, wanted = (exception or "no exception" for exception in (self.got, self.wanted))
            return [f"input:  {self.case.description}", f"got:    {got}", f"wanted: {wanted}"]
        got, wanted = format_difference(self.got, self.wanted)
        return [f"input:  {self.case.description}", f"got:    {self.key} {got}", f"wanted: {self.key} {wanted}"]


@dataclass(frozen=True)
class Diagnosis:
    """The known mistake that an answer makes.

    Attributes:
        name: The name of the mistake in the bank.
        description: The sentence that explains the mistake to the learner.
    """

    name: str
    description: str


class Check:
    """The self-check of one exercise: its cases, and the comparison with the expected observations.

    Args:
        exercise: The name of the exercise.
        cases: The cases by name.
        observe: A function that runs an answer on a case's inputs and returns an observation.
        rtol: The relative tolerance for numbers.
        atol: The absolute tolerance for numbers.
        is_called_with_inputs: Whether `answer(*inputs)` is the call that the check observes; `observe` may instead
            make a model first, or call the methods of a class.
        variations: By the name of an argument, two cases that differ in it alone and have different right results. They
            are run only for an answer that is refused, to find the arguments that have no effect.
        explain: A function of a refused answer and the case that is shown. It returns how the answer computes another
            thing than it should, as the end of a sentence, or an empty string.
    """

    def __init__(
        self,
        exercise: str,
        cases: Mapping[str, Case],
        observe: Callable[[Answer, Mapping[str, Any]], Observation],
        rtol: float = 5e-4,
        atol: float = 5e-5,
        is_called_with_inputs: bool = True,
        variations: Mapping[str, tuple[Case, Case]] | None = None,
        explain: Callable[[Answer, Case], str] | None = None,
    ) -> None:
        self.exercise, self.cases, self._observe = exercise, dict(cases), observe
        self.rtol, self.atol, self.is_called_with_inputs = rtol, atol, is_called_with_inputs
        self.variations, self._explain = dict(variations or {}), explain
        self.output = ""
        self._cache: dict[str, tuple[Observation, BaseException | None]] | None = None
        self._stop: Callable[[], None] | None = None

    def observe(self, answer: Answer, case: str) -> tuple[Observation, BaseException | None]:
        """Run an answer on a case.

        Args:
            answer: The learner's function or class.
            case: The name of the case.

        Returns:
            The observation, and the exception that the answer raised or None.
        """
        if self._cache is not None and case in self._cache:
            return self._cache[case]
        self._stop_if_over()
        printed = io.StringIO()
        error: BaseException | None = None
        with preserved_state(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                observation = encode(self._observe(self._stopped(answer), self.cases[case].inputs))
            except (Exception, SystemExit) as raised:
                observation, error = {RAISED: _exception_name(raised)}, raised
                if isinstance(raised, CourseError):  # Its text, which is the course's, tells one cause from another.
                    observation["message"] = str(raised)
                elif torch_function := _torch_function_that_raised(raised):  # Other texts vary between versions.
                    observation["raised in"] = torch_function
        self.output += printed.getvalue()
        self._stop_if_over()
        if self._cache is not None:
            self._cache[case] = observation, error
        return observation, error

    @contextmanager
    def cached_observations(self, stop: Callable[[], None] | None = None) -> Iterator[None]:
        """Cache the observation of each case inside the `with` block, in which only one answer may be judged.

        Args:
            stop: Called before and after the answer runs; it raises an exception if there is to be no other run.
        """
        self._cache, self.output, self._stop = {}, "", stop
        try:
            yield
        finally:
            self._cache = self._stop = None

    def _stopped(self, answer: Answer) -> Answer:
        """Return a function that is not run again when there is to be no other run; a class is returned as it is."""
        if self._stop is None or not isinstance(answer, FunctionType):
            return answer

        @wraps(answer)
        def stopped(*arguments: Any, **named: Any) -> Any:
            self._stop_if_over()
            result = answer(*arguments, **named)
            self._stop_if_over()
            return result

        return stopped

    def _stop_if_over(self) -> None:
        if self._stop is not None:
            self._stop()

    def require(self, answer: Answer, case: str) -> None:
        """Compare what an answer does on a case with the expected observations.

        Args:
            answer: The learner's function or class.
            case: The name of the case.

        Raises:
            Mismatch: The observation equals none of the expected ones. The nearest of them is reported.
        """
        got, error = self.observe(answer, case)
        expected = expected_results(self.exercise)[case]
        if any(self.equal(got, observation) for observation in expected):
            return
        nearest = max(expected, key=lambda wanted: sum(self.equal(got.get(key), wanted[key]) for key in wanted))
        for key in dict.fromkeys([RAISED, *got, *nearest]):
            if not self.equal(got.get(key), nearest.get(key)):
                raise Mismatch(self.cases[case], key, got.get(key), nearest.get(key), error)

    def diagnose(self, answer: Answer, unwritten: Collection[str] = (), shown: Case | None = None) -> Diagnosis | None:
        """Return the known mistake that behaves like an answer on every case, or one of several that together do.

        Args:
            answer: The learner's function or class.
            unwritten: The methods that are still to be written, whose cases tell nothing.
            shown: The wrong case that is shown to the learner, whose mistake is named where there are several; None to
                name none then.
        """
        observations = {
            name: self.observe(answer, name)[0] for name, case in self.cases.items() if case.method not in unwritten
        }
        found = self.diagnose_observed(observations)
        return self._one_of_several(observations, shown) if found is None and shown is not None else found

    def diagnose_observed(self, observations: Mapping[str, Observation]) -> Diagnosis | None:
        """Return the known mistake with these observations, or None.

        Args:
            observations: The observation on each case that the answer can run on, by the name of the case.
        """
        for name, matched in self._matched_cases(observations).items():
            if len(matched) == len(observations):
                return Diagnosis(name, known_mistakes(self.exercise)[name]["description"])
        return None

    def _one_of_several(self, observations: Mapping[str, Observation], shown: Case) -> Diagnosis | None:
        """Return the known mistake on one case of an answer with several mistakes, or None.

        The mistake that is named explains the shown case, and more of the others than any other mistake that does. It
        is right wherever the answer is: an answer that makes it would be wrong there, too. It explains three cases of
        four, or each case is explained by some known mistake. Inputs that have to be refused count only if one is
        shown: an answer that does not test its arguments is wrong on all of them, whatever else it does.
        """
        expected = expected_results(self.exercise)
        if not shown.refused_because:
            observations = {name: got for name, got in observations.items() if not self.cases[name].refused_because}
        matched = self._matched_cases(observations)
        right = {
            case for case, got in observations.items() if any(self.equal(got, wanted) for wanted in expected[case])
        }
        possible = (cases for cases in matched.values() if shown in map(self.cases.get, cases) and right <= cases)
        ranked = sorted(possible, key=len)
        if not ranked or (len(ranked) > 1 and len(ranked[-1]) == len(ranked[-2])):
            return None
        if 4 * len(ranked[-1]) < 3 * len(observations) and set(observations) - set().union(*matched.values()):
            return None
        name = next(name for name, cases in matched.items() if cases is ranked[-1])
        return Diagnosis(name, known_mistakes(self.exercise)[name]["description"])

    def _matched_cases(self, observations: Mapping[str, Observation]) -> dict[str, set[str]]:
        """Return the names of the cases on which each known mistake behaves as observed, by the mistake's name."""
        expected = expected_results(self.exercise)
        return {
            name: {
                case
                for case, observation in observations.items()
                if self._matches_mistake(observation, mistake["observed"][case], expected[case])
            }
            for name, mistake in known_mistakes(self.exercise).items()
        }

    def arguments_without_effect(self, answer: Answer) -> list[str]:
        """Return the arguments in `variations` whose change has no effect on what an answer does.

        Args:
            answer: The learner's function.
        """
        return [
            name
            for name, pair in self.variations.items()
            if (first := self._quietly_observed(answer, pair[0])) is not None
            and first == self._quietly_observed(answer, pair[1])
        ]

    def _quietly_observed(self, answer: Answer, case: Case) -> Observation | None:
        """Return the observation on a case that need not be one of the check's; None if the answer raises."""
        return self._quietly(lambda: encode(self._observe(self._stopped(answer), case.inputs)))

    def explanation(self, answer: Answer, case: Case) -> str:
        """Return how an answer computes another thing than it should, as the end of a sentence; empty if unknown.

        Args:
            answer: The learner's function.
            case: The case that is shown to the learner.
        """
        if self._explain is None:
            return ""
        explain = self._explain
        return self._quietly(lambda: explain(self._stopped(answer), case)) or ""

    def _quietly(self, run: Callable[[], Result]) -> Result | None:
        """Return what a function that calls the answer returns, without what is printed; None if the answer raises."""
        self._stop_if_over()
        printed = io.StringIO()
        with preserved_state(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                result = run()
            except (Exception, SystemExit):
                result = None
        self._stop_if_over()
        return result

    def is_right_elsewhere(self, answer: Answer, case: Case) -> bool:
        """Return whether what an answer does is right on every case but one, of several that check the same."""
        expected_by_case = expected_results(self.exercise)
        others = {name: expected_by_case[name] for name, other in self.cases.items() if other is not case}
        return any(self.cases[name].method == case.method for name in others) and all(
            any(self.equal(self.observe(answer, name)[0], observation) for observation in expected)
            for name, expected in others.items()
        )

    def relation(self, answer: Answer, mismatch: Mismatch) -> str:
        """Return how a value that an answer gives is related to the right one, if every wrong case shows it.

        A case with one number alone shows many relations by chance, so it is no witness where others have several
        numbers.

        Args:
            answer: The learner's function or class.
            mismatch: The difference that is shown to the learner, of which the relation has to be true.

        Returns:
            The end of a sentence, such as "has the wrong sign"; empty if no relation holds, or more than one name fits.
        """
        key = mismatch.key
        shown = _as_numbers(mismatch.got, mismatch.wanted)
        if shown is None:
            return ""
        among = every_relation(*shown, mismatch.case.inputs)
        for case, expected in expected_results(self.exercise).items():
            got = self.observe(answer, case)[0].get(key)
            wanted = [observation.get(key) for observation in expected]
            if any(self.equal(got, value) for value in wanted):
                continue
            numbers = _as_numbers(got, wanted[0])
            if numbers is None:
                return ""
            if _has_several_values(numbers[1]) or not _has_several_values(shown[1]):
                among &= every_relation(*numbers, self.cases[case].inputs)
        return find_relation(*shown, exact=mismatch.case.inputs, among=among)

    def _matches_mistake(self, got: Observation, mistaken: Observation, expected: Sequence[Observation]) -> bool:
        """Return whether an observation equals the mistake's, or both are right in one of several ways."""
        if self.equal(got, mistaken):
            return True
        return all(any(self.equal(value, wanted) for wanted in expected) for value in (got, mistaken))

    def equal(self, first: Any, second: Any) -> bool:
        """Return whether two observations, or parts of them, are equal up to the check's tolerances."""
        return equal_within_tolerance(first, second, self.rtol, self.atol)


def _exception_name(error: BaseException) -> str:
    """Return the name of an exception's type; a learner's own kind of ValueError counts as a ValueError."""
    is_own = isinstance(error, ValueError) and not isinstance(error, CourseError)
    return "ValueError" if is_own else type(error).__name__


def _torch_function_that_raised(error: BaseException) -> str:
    """Return the name of the function of torch, written in Python, that raised an exception; empty if none did."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or not frames[-1].f_globals.get("__name__", "").startswith("torch."):
        return ""
    return frames[-1].f_code.co_name


def _as_numbers(got: Any, wanted: Any) -> tuple[Tensor, Tensor] | None:
    """Return an encoded value and the right one as tensors; None if they are not numbers of one shape."""
    if not _holds_floats(wanted):
        return None
    try:
        numbers, right = torch.tensor(got, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64)
    except (TypeError, ValueError):  # It holds text in place of numbers that are not finite, or is no value at all.
        return None
    return (numbers, right) if numbers.shape == right.shape else None


def _has_several_values(right: Tensor) -> bool:
    """Return whether a result has so many numbers that a relation to them is hardly a coincidence."""
    return right.unique().numel() > 1


def _holds_floats(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and any(map(_holds_floats, value)))


@cache
def _data(exercise: str) -> dict[str, Any]:
    path = CHECKS / BY_NAME[exercise].part / "data" / f"{BY_NAME[exercise].module}.json"
    return json.loads(path.read_text())


def expected_results(exercise: str) -> dict[str, list[Observation]]:
    """Return the expected observations of each case; there are several where an answer can be right in several ways."""
    return _data(exercise)["wanted"]


def known_mistakes(exercise: str) -> dict[str, dict[str, Any]]:
    """Return the known mistakes by name.

    Returns:
        For each mistake a dict with the sentence that explains it (`description`), and its observation on each case
        (`observed`).
    """
    return _data(exercise)["mistakes"]


@contextmanager
def preserved_state() -> Iterator[None]:
    """Restore the global random states and torch's settings after an answer has run, and suppress its warnings."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with (
            preserved_torch_settings(),
            torch.random.fork_rng(devices=[]),
            torch.enable_grad(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            # `torch.manual_seed` also formats a stack trace for each kind of device, which takes 0.3 ms.
            torch.default_generator.manual_seed(0)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


# Inputs and observations.


def refused(case: Case, because: str) -> Case:
    """Return a case on whose input an answer has to raise an exception, for a reason that is a clause."""
    return replace(case, refused_because=because)


def normal(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Return float32 samples of a normal distribution, which are the same on every machine for the same seed."""
    return torch.tensor(np.random.RandomState(seed).standard_normal(shape) * scale, dtype=torch.float32)


def round_to_quarters(numbers: Tensor) -> Tensor:
    """Round numbers to quarters, so that adding 10000 to them in float32 is exact."""
    return (4 * numbers).round() / 4


def integers(low: int, high: int, *shape: int, seed: int) -> Tensor:
    """Return random int64 numbers in [low, high), which are the same on every machine for the same seed."""
    return torch.tensor(np.random.RandomState(seed).randint(low, high, shape), dtype=torch.long)


def mask_of_rows(*rows: str) -> Tensor:
    """Return a mask from rows of 1 and 0, such as "11100"."""
    return torch.tensor([[character == "1" for character in row] for row in rows])


def observe_call(function: Answer, inputs: Mapping[str, Any], gradient_of: str | None = None) -> Observation:
    """Call a function and observe its result.

    Args:
        function: The learner's function.
        inputs: The arguments by name; copies of them are passed by position.
        gradient_of: The name of the argument whose gradient is observed too, or None.

    Returns:
        The observation of the result, the gradient, and for each tensor and list whether it was changed in place.
    """
    arguments = {name: _copied(value) for name, value in inputs.items()}
    if gradient_of is not None:
        arguments[gradient_of].requires_grad_(True)
    result = function(*arguments.values())
    observation = observe_result(result)
    if isinstance(result, Tensor) and any(getattr(value, "dtype", None) == torch.float64 for value in inputs.values()):
        observation["dtype"] = str(result.dtype)
    if gradient_of is not None and isinstance(result, Tensor):
        observation[f"gradient of {gradient_of}"] = gradient(result, arguments[gradient_of])
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            is_flagged = arguments[name].requires_grad != (value.requires_grad or name == gradient_of)
            is_equal = torch.equal(value, arguments[name].detach())
            observation[f"{name} changed in place"] = is_flagged or not is_equal
        elif isinstance(value, list):
            observation[f"{name} changed in place"] = value != arguments[name]
    return observation


def _copied(value: Any) -> Any:
    """Return a copy of an argument; of a tensor also its strides, and whether it requires a gradient."""
    if isinstance(value, list):
        return list(value)
    if not isinstance(value, Tensor):
        return value
    return copy_with_strides(value).requires_grad_(value.requires_grad)


def observe_result(result: Any) -> Observation:
    """Return the type of a result, and for a tensor its shape, whether it holds floats, and its values."""
    if not isinstance(result, Tensor):
        return {"type": type(result).__name__}
    dtype = "float" if result.is_floating_point() else str(result.dtype)
    return {"type": "Tensor", "shape": list(result.shape), "dtype": dtype, "result": result}


def gradient(result: Tensor, argument: Tensor) -> Tensor | str:
    """Return the gradient of a weighted sum of a result's entries with respect to an argument, or "none"."""
    if not result.requires_grad:
        return "none"
    weights = torch.arange(1, result.numel() + 1, dtype=result.dtype).reshape(result.shape)
    (grad,) = torch.autograd.grad((result * weights).sum(), argument, allow_unused=True)
    return "none" if grad is None else grad


def format_linear(coefficients: Mapping[str, float]) -> str:
    """Format a linear combination of terms, such as "r_0 + 0.5 V_1 - V_0"; a term named "1" is a number alone."""
    text = ""
    for term, coefficient in coefficients.items():
        if abs(coefficient) < 1e-6:
            continue
        sign = "-" if coefficient < 0 else "+"
        size = f"{abs(coefficient):.3g}"
        shown = size if term == "1" else term if size == "1" else f"{size} {term}"
        text += f" {sign} {shown}" if text else f"{'-' if sign == '-' else ''}{shown}"
    return text or "0"


# Observations as data.


def encode(value: Any) -> Any:
    """Return a value as JSON can hold it, with floats rounded to six digits."""
    if isinstance(value, Tensor):
        return encode(value.detach().cpu().tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def equal_within_tolerance(first: Any, second: Any, rtol: float, atol: float) -> bool:
    """Return whether two encoded values are equal, floats up to a tolerance relative to the second."""
    if (isinstance(first, float) and isinstance(second, int | float)) or (
        isinstance(second, float) and isinstance(first, int | float)
    ):
        return abs(first - second) <= atol + rtol * abs(second)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(
            equal_within_tolerance(*pair, rtol, atol) for pair in zip(first, second, strict=True)
        )
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            equal_within_tolerance(first[key], second[key], rtol, atol) for key in first
        )
    return type(first) is type(second) and bool(first == second)


# Observations as text.

_MAX_SHOWN = 8


def format_difference(got: Any, wanted: Any) -> tuple[str, str]:
    """Format two encoded values for a message; of two long lists only the first entries that differ are shown."""
    if isinstance(got, list) and isinstance(wanted, list) and max(_size(got), _size(wanted)) > _MAX_SHOWN:
        index = _first_difference(got, wanted)
        if index:
            prefix = f"[{', '.join(map(str, index))}] = "
            return prefix + format_value(_entry(got, index)), prefix + format_value(_entry(wanted, index))
    return format_value(got), format_value(wanted)


def format_value(value: Any) -> str:
    """Format an encoded value in at most a line: floats with four digits, lists with their first entries."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        entries = ", ".join(map(format_value, value[: _MAX_SHOWN + 1])) + (", …" if len(value) > _MAX_SHOWN + 1 else "")
        return f"[{entries}]"
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _entry(value: Any, index: tuple[int, ...]) -> Any:
    for position in index:
        value = value[position]
    return value


def _first_difference(got: Any, wanted: Any) -> tuple[int, ...] | None:
    """Return the index of the first entries that differ, () if the values differ as wholes, None if they are equal."""
    if not (isinstance(got, list) and isinstance(wanted, list)):
        return None if equal_within_tolerance(got, wanted, 5e-4, 5e-5) else ()
    if len(got) != len(wanted):
        return ()
    for position, (got_entry, wanted_entry) in enumerate(zip(got, wanted, strict=True)):
        index = _first_difference(got_entry, wanted_entry)
        if index is not None:
            return (position, *index)
    return None
