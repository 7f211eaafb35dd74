"""Run answers that are no plain functions, in this process or in a sandbox.

A driver is a function `driver(answer, **inputs)`. Its inputs and outputs are tensors, numbers, strings, None, and lists
and dicts of them. Drivers run in the same process as a learner's code, which could replace them: they hold no wanted
value, and a test believes only results that it can compute by itself.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from rlhf_course.checks import tiny
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS

# The answers to these exercises are classes, or make objects, which a sandbox cannot send: each exercise with a module
# of drivers below this package.
DRIVEN = tuple(exercise.name for exercise in EXERCISES if (Path(__file__).parent / exercise.path).is_file())
CLASSIFIER = "lvwerra/distilbert-imdb"


def driver(exercise: str, name: str) -> Callable[..., Any]:
    """Return a driver of an exercise: `observe`, or a public function of the exercise's module of drivers.

    Args:
        exercise: The name of the exercise.
        name: The name of the driver.

    Raises:
        AttributeError: The exercise has no such driver.
    """
    if name == "observe":
        return _observe_driver(exercise)
    if exercise in DRIVEN and not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}")
        function = vars(module).get(name)
        if callable(function) and function.__module__ == module.__name__:
            return _with_surroundings(exercise, function)
    raise AttributeError(f"{exercise} has no driver {name!r}")


@contextmanager
def surroundings(exercise: str) -> Iterator[None]:
    """Replace what an answer loads by what is small and offline: the CPU, tiny models, the tiny classifier.

    Drivers other than `observe` enter these surroundings themselves; a caller of an answer enters them first.
    The tiny language model is reused rather than loaded for each call. The sentiment classifier is the tiny one, which
    stays loaded if surroundings are entered within others.
    """
    with ExitStack() as stack:
        stack.enter_context(tiny.on_the_cpu())
        if exercise in ("HookedTransformerWithValueHead", "RLHFTrainer"):
            stack.enter_context(tiny.reused_models())
        is_tiny_classifier_loaded = str(LOCAL_CLASSIFIERS.get(CLASSIFIER)) == tiny.classifier_folder()
        if exercise == "reward_fn_sentiment_imdb" and not is_tiny_classifier_loaded:
            stack.enter_context(tiny.tiny_classifier())
        yield


def _with_surroundings(exercise: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(answer: Any, **inputs: Any) -> Any:
        with surroundings(exercise):
            return function(answer, **inputs)

    return wrapper


def _observe_driver(exercise: str) -> Callable[..., Any]:
    def observe(answer: Any, case: str) -> dict[str, Any]:
        """Return the visible check's observation of an answer on a case."""
        module = importlib.import_module(f"rlhf_course.checks.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}")
        observation: dict[str, Any] = module.CHECK.observe(answer, case)[0]
        return observation

    return observe
