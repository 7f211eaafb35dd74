"""Drivers: how an answer that is no plain function is run, in this process or in a sandbox.

A driver is a function `driver(answer, **inputs)`; inputs and outputs are tensors, numbers, strings, None, and lists and
dicts of them. Drivers run beside a learner's code, which could replace them: they hold no wanted value, and what a test
believes are results that it can work out by itself.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from rlhf_course.course import BY_NAME, EXERCISES

# Exercises whose answers are classes, or make objects, which no sandbox hands out: those with a module of drivers here.
DRIVEN = tuple(exercise.name for exercise in EXERCISES if (Path(__file__).parent / exercise.path).is_file())
CLASSIFIER = "lvwerra/distilbert-imdb"


def driver(exercise: str, name: str) -> Callable[..., Any]:
    """The driver of that name for an exercise: `observe` for each, and the public functions of its module of drivers.

    Raises:
        AttributeError: no such driver.
    """
    if name == "observe":
        return _observe(exercise)
    if exercise in DRIVEN and not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}")
        found = vars(module).get(name)
        if getattr(found, "__module__", None) == module.__name__:
            return _surrounded(exercise, found)
    raise AttributeError(f"{exercise} has no driver {name!r}")


@contextmanager
def surroundings(exercise: str) -> Iterator[None]:
    """What stands around an answer that runs: drivers other than `observe` see to it; who calls a function does it here.

    Models are on the CPU. The tiny language model is lent out again and again rather than booted; the sentiment
    classifier is the tiny one, which stays loaded where surroundings stand within others.
    """
    from rlhf_course.checks import tiny
    from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS

    with ExitStack() as stack:
        stack.enter_context(tiny.on_the_cpu())
        if exercise in ("HookedTransformerWithValueHead", "RLHFTrainer"):
            stack.enter_context(tiny.reused_models())
        if (
            exercise == "reward_fn_sentiment_imdb"
            and str(LOCAL_CLASSIFIERS.get(CLASSIFIER)) != tiny.classifier_folder()
        ):
            stack.enter_context(tiny.tiny_classifier())
        yield


def _surrounded(exercise: str, run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def surrounded(answer: Any, **inputs: Any) -> dict[str, Any]:
        with surroundings(exercise):
            return run(answer, **inputs)

    return surrounded


def _observe(exercise: str) -> Callable[..., Any]:
    def observe(answer: Any, case: str) -> dict[str, Any]:
        """What the visible check sees when the answer meets one of its cases."""
        check = importlib.import_module(f"rlhf_course.checks.{BY_NAME[exercise].part}.{BY_NAME[exercise].module}").CHECK
        return check.observe(answer, case)[0]

    return observe
