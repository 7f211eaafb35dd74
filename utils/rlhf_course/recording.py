"""Record the metrics of a training phase from the results of the functions that the trainer calls.

The given terms of the objective call `record_metrics` themselves. The learner's functions are recorded by the wrapper
that their package hands out (`exercises.py`): it reports to the phase that runs, and only calls the function when none
does.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache, wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rlhf_course.errors import CourseError

if TYPE_CHECKING:  # a part's package is imported without loading torch
    from torch import Tensor

T = TypeVar("T")


class Term(NamedTuple):
    """A term of the objective: the metric that it is recorded as, and the argument that it is proportional to."""

    metric: str
    coefficient: str


# The exercises that a trainer calls. During a phase each must return a result; that of a term is also recorded.
TRAINER_CALLS: dict[str, Term | None] = {
    "normalize_reward": None,
    "compute_advantages": None,
    "get_logprobs": None,
    "calc_entropy_bonus": Term("entropy", "ent_coef"),
    "calc_kl_penalty": Term("kl", "kl_coef"),
    "completion_mask": None,
    "group_advantages": None,
    "rloo_advantages": None,
    "grpo_clip_loss": None,
    "aggregate_loss": None,
}
# Those whose latest arguments are kept during a phase.
_ARGUMENTS_KEPT = frozenset({"grpo_clip_loss"})


class PhaseMetrics:
    """Metrics by name. A metric that is added several times is averaged."""

    def __init__(self) -> None:
        self._values: "dict[str, list[float | Tensor]]" = defaultdict(list)
        self._arguments: dict[str, tuple[Any, ...]] = {}

    def add(self, **metrics: "float | Tensor") -> None:
        """Add one value to each metric. Tensors stay on their device until `means`, so that no call waits for a GPU."""
        for name, value in metrics.items():
            self._values[name].append(value.detach() if hasattr(value, "detach") else value)

    def keep_arguments(self, name: str, arguments: Sequence[Any]) -> None:
        """Keep the arguments of an exercise's latest call, in the order of its parameters."""
        self._arguments[name] = tuple(arguments)

    def latest_arguments(self, name: str) -> tuple[Any, ...]:
        """Return the arguments of an exercise's latest call; none where it was not called."""
        return self._arguments.get(name, ())

    def means(self) -> dict[str, float]:
        """Return the mean of each metric."""
        return {name: sum(map(float, values)) / len(values) for name, values in self._values.items()}


_RUNNING_PHASE: ContextVar[PhaseMetrics | None] = ContextVar("running_phase", default=None)


@contextmanager
def recorded_phase() -> Iterator[PhaseMetrics]:
    """Yield the metrics that this thread's calls record until the block ends."""
    metrics = PhaseMetrics()
    token = _RUNNING_PHASE.set(metrics)
    try:
        yield metrics
    finally:
        _RUNNING_PHASE.reset(token)


def record_metrics(**metrics: "float | Tensor") -> None:
    """Add values to the metrics of the phase that runs in this thread; do nothing when none runs."""
    phase = _RUNNING_PHASE.get()
    if phase is not None:
        phase.add(**metrics)


def recorded(name: str, answer: Any) -> Any:
    """Return the object that a part's package hands out for an exercise.

    Args:
        name: The exercise's name.
        answer: What the exercise's file defines under that name.

    Returns:
        For a function that a trainer calls, a wrapper that reports to the phase that runs; the same function always
        gets the same wrapper. Every other answer is returned as it is.
    """
    if name in TRAINER_CALLS and isinstance(answer, FunctionType):
        return _wrapper(name, answer)
    return answer


def require_result(name: str, result: T | None) -> T:
    """Return the result of a learner's function.

    Raises:
        CourseError: The result is None.
    """
    if result is None:
        raise CourseError(f"{name} returned None, should return a result: write it to its end, with a `return`")
    return result


@lru_cache(maxsize=64)
def _wrapper(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a wrapper of a function that a trainer calls, which records its results while a phase runs."""
    term = TRAINER_CALLS[name]

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        phase = _RUNNING_PHASE.get()
        if phase is None:
            return function(*args, **kwargs)
        if name in _ARGUMENTS_KEPT:
            _keep_arguments(phase, name, function, args, kwargs)
        if term is None:
            return require_result(name, function(*args, **kwargs))
        return _call_term(phase, name, term, function, args, kwargs)

    return wrapper


def _keep_arguments(
    phase: PhaseMetrics, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with suppress(TypeError):  # the arguments do not fit: Python's own error of the call names the function
        phase.keep_arguments(name, [*inspect.signature(function).bind(*args, **kwargs).arguments.values()])


def _call_term(
    phase: PhaseMetrics,
    name: str,
    term: Term,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call a term of the objective once, and record its result divided by its coefficient.

    With a coefficient of 0 the result is 0, whatever the metric is. The function is then called with coefficient 1, and
    0 times its result is returned. That is the same result, because the exercise's contract makes the term
    proportional to its coefficient.
    """
    try:
        call = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:  # the arguments do not fit: Python's own error names the function
        return function(*args, **kwargs)
    coefficient = call.arguments.get(term.coefficient, 1.0)
    if coefficient:
        result = require_result(name, function(*args, **kwargs))
        phase.add(**{term.metric: result / coefficient})
        return result
    call.arguments[term.coefficient] = 1.0
    unscaled = require_result(name, function(*call.args, **call.kwargs))
    phase.add(**{term.metric: unscaled})
    return coefficient * unscaled
