"""The numbers of a phase, taken from what the learner's own code computes while it runs.

The given terms of the objective call `record`. The learner's functions are watched for as long as a phase lasts: what they
return is recorded too, so that no term is computed a second time.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import PACKAGE, imported_answer

# Exercises that a trainer calls, and those of them whose result is recorded: (its metric, its coefficient's argument).
_CALLED = ("normalize_reward", "compute_advantages", "get_logprobs", "calc_entropy_bonus", "calc_kl_penalty")
_RECORDED = {"calc_entropy_bonus": ("entropy", "ent_coef"), "calc_kl_penalty": ("kl", "kl_coef")}


class Record:
    """Numbers by name; those that come several times are averaged."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[float | Tensor]] = defaultdict(list)

    def add(self, **numbers: float | Tensor) -> None:
        """Add one of each. Tensors stay where they are until `means`, so that a GPU is not waited for."""
        for name, number in numbers.items():
            self._numbers[name].append(number.detach() if isinstance(number, Tensor) else number)

    def means(self) -> dict[str, float]:
        """The mean of each."""
        return {name: sum(map(float, numbers)) / len(numbers) for name, numbers in self._numbers.items()}


_CURRENT: ContextVar[Record | None] = ContextVar("record", default=None)


def record(**numbers: float | Tensor) -> None:
    """Add to the record of the phase that runs in this thread, if one does."""
    current = _CURRENT.get()
    if current is not None:
        current.add(**numbers)


@contextmanager
def recording(trainer_class: type) -> Iterator[Record]:
    """Record what the objective's terms are, while a phase runs.

    Args:
        trainer_class: the learner's trainer; where its module imported exercises by name, they are watched there too.
    """
    current = Record()
    token = _CURRENT.set(current)
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for namespace in _namespaces(trainer_class):
            for key, value in list(namespace.items()):
                if (name := _exercise_of(value)) is not None:
                    replaced.append((namespace, key, value))
                    namespace[key] = _watched(name, value)
        yield current
    finally:
        for namespace, key, value in replaced:
            namespace[key] = value
        _CURRENT.reset(token)


def must_return(name: str, function: Callable) -> Callable:
    """The function, which refuses to have returned nothing.

    Raises:
        CourseError: it returned None.
    """

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if result is None:
            raise CourseError(
                f"{name} returned None, and should return a result: is it written to its end, with a `return`?"
            )
        return result

    return checked


def _watched(name: str, function: Callable) -> Callable:
    """The function, which has to return something, and whose result is recorded where it is a term of the objective."""
    function = must_return(name, function)
    if name not in _RECORDED:
        return function
    metric, coefficient = _RECORDED[name]
    signature = inspect.signature(function)

    @wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        weight = bound.arguments.get(coefficient, 1.0)
        if weight:
            unscaled = result / weight
        else:  # the penalty is 0 whatever happens; how far the policy has strayed is asked of the same function
            bound.arguments[coefficient] = 1.0
            with torch.no_grad():
                unscaled = function(*bound.args, **bound.kwargs)
        record(**{metric: unscaled})
        return result

    return recorded


def _exercise_of(value: Any) -> str | None:
    """The exercise that a value is the answer to, if it is one that a trainer calls."""
    name = getattr(value, "__name__", None)
    if not isinstance(value, FunctionType) or name not in _CALLED:
        return None
    return name if value.__module__ == f"{PACKAGE}.{BY_NAME[name].module}" else None


def _namespaces(trainer_class: type) -> list[dict[str, Any]]:
    """The globals in which a trainer's code finds the exercises: their own modules', and those of its methods."""
    found: dict[int, dict[str, Any]] = {}
    for name in _CALLED:
        try:
            function = inspect.unwrap(imported_answer(name))
        except Exception:  # a file that cannot be imported speaks for itself when the trainer asks for it
            continue
        if isinstance(function, FunctionType):
            found[id(function.__globals__)] = function.__globals__
    for base in trainer_class.__mro__:
        for method in map(inspect.unwrap, vars(base).values()):
            if isinstance(method, FunctionType) and not method.__module__.startswith("rlhf_course."):
                found[id(method.__globals__)] = method.__globals__
    return list(found.values())
