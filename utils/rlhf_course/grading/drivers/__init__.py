"""Run answers that are not plain functions, in this process or in a sandbox.

A driver is a function `driver(answer, **inputs)`. Its inputs and outputs are tensors, numbers, strings, None, and lists
and dicts of them. Drivers run in the same process as a learner's code, which could replace them. So they hold no wanted
value, and a test relies only on results that it can compute by itself.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks import tiny
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers.plain import plain, watched_torch
from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS

# The exercises with a module of drivers below this package. Their answers are classes, or return objects that a sandbox
# cannot send.
DRIVEN = tuple(exercise.name for exercise in EXERCISES if (Path(__file__).parent / exercise.path).is_file())
# The exercises whose answers load a language model, or take one.
_OF_A_LANGUAGE_MODEL = (
    "HookedTransformerWithValueHead",
    "RLHFTrainer",
    "get_optimizer",
    "RewardModel",
    "GRPOTrainer",
)
CLASSIFIER = "lvwerra/distilbert-imdb"


def driver(exercise: str, name: str) -> Callable[..., Any]:
    """Return a driver of an exercise: `observe`, or a public function of the exercise's module of drivers.

    An exercise that is a function has the driver `results_of_calls`.

    Args:
        exercise: The name of the exercise.
        name: The name of the driver.

    Raises:
        AttributeError: The exercise has no such driver.
    """
    if name == "observe":
        return _observe_driver(exercise)
    if name == "results_of_calls" and exercise not in DRIVEN:
        return _with_offline_environment(exercise, _results_of_calls)
    if exercise in DRIVEN and not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}")
        function = vars(module).get(name)
        if callable(function) and function.__module__ == module.__name__:
            return _with_offline_environment(exercise, function)
    raise AttributeError(f"{exercise} has no driver {name!r}")


@contextmanager
def offline_environment(exercise: str) -> Iterator[None]:
    """Let answers load only small, local resources until the block ends: the CPU, tiny models, the tiny classifier.

    Drivers other than `observe` enter this environment themselves; a caller that calls an answer without a driver has
    to enter it first. Calls share one tiny language model, which is not loaded again. The sentiment classifier is the
    tiny one, which stays loaded if one environment is entered within another.

    Args:
        exercise: The name of the exercise.
    """
    with ExitStack() as stack:
        stack.enter_context(tiny.on_the_cpu())
        if exercise in _OF_A_LANGUAGE_MODEL:
            stack.enter_context(tiny.reused_models())
        is_tiny_classifier_loaded = str(LOCAL_CLASSIFIERS.get(CLASSIFIER)) == tiny.classifier_folder()
        if exercise == "reward_fn_sentiment_imdb" and not is_tiny_classifier_loaded:
            stack.enter_context(tiny.tiny_classifier())
        yield


def _with_offline_environment(exercise: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(answer: Any, **inputs: Any) -> Any:
        with offline_environment(exercise):
            return function(answer, **inputs)

    return wrapper


def _results_of_calls(
    answer: Any, calls: Sequence[Sequence[Any]], probe: Tensor, rewritten: Sequence[Any] = ()
) -> dict[str, Any]:
    """Call a function several times, and look at what the calls leave behind.

    Args:
        answer: The learner's function.
        calls: The arguments of each call.
        probe: A vector.
        rewritten: Arguments of the sizes of the first call, or nothing. Their numbers are written to the first call's
            own tensors, and the function is called with these once more.

    Returns:
        `results`, as they are after the last call; `gradient`, that of half the squared length of `probe`, computed
        after the calls, or None where gradients are switched off; `inference`, whether a result is an inference
        tensor; what `watched_torch` reports of the calls; `again`, the result of the call with `rewritten`; and
        `attached`, whether a result of the first call has a gradient where the caller computes none.
    """
    first = _copies_with_gradients(calls[0])
    with watched_torch() as torch_report:
        results = [answer(*arguments) for arguments in calls]
    vector = probe.clone().requires_grad_(True)
    length = (vector * vector).sum() / 2
    gradient = torch.autograd.grad(length, vector)[0] if length.requires_grad else None
    return {
        "results": [plain(result) for result in results],
        "gradient": gradient,
        "inference": any(isinstance(result, Tensor) and result.is_inference() for result in results),
        **torch_report,
        "again": plain(_result_with_numbers_of(answer, calls[0], rewritten)) if rewritten else None,
        "attached": _computes_gradients(answer, first),
    }


def _copies_with_gradients(arguments: Sequence[Any]) -> list[Any]:
    """Return copies of arguments, of which the float tensors require a gradient."""
    copies = [argument.clone() if isinstance(argument, Tensor) else deepcopy(argument) for argument in arguments]
    for copy in copies:
        if isinstance(copy, Tensor) and copy.is_floating_point():
            copy.requires_grad_(True)
    return copies


@torch.no_grad()
def _computes_gradients(answer: Any, arguments: Sequence[Any]) -> bool:
    """Return whether a function's results have gradients although the caller has switched them off."""
    result = answer(*arguments)
    parts = result if isinstance(result, tuple | list) else (result,)
    return any(isinstance(part, Tensor) and part.requires_grad for part in parts)


@torch.no_grad()
def _write_numbers(tensors: Sequence[Any], numbers: Sequence[Any]) -> None:
    for tensor, others in zip(tensors, numbers, strict=True):
        if isinstance(tensor, Tensor):
            tensor.copy_(others)


def _result_with_numbers_of(answer: Any, arguments: Sequence[Any], numbers: Sequence[Any]) -> Any:
    """Write the numbers of other arguments to the tensors among some arguments, and call a function with these."""
    _write_numbers(arguments, numbers)
    return answer(*arguments)


def _observe_driver(exercise: str) -> Callable[..., Any]:
    def observe(answer: Any, case: str) -> dict[str, Any]:
        """Return the visible check's observation of an answer on a case."""
        module = importlib.import_module(f"rlhf_course.checks.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}")
        observation: dict[str, Any] = module.CHECK.observe(answer, case)[0]
        return observation

    return observe
