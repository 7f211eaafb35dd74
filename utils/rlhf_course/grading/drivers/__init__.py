"""Drivers: how an answer that is no plain function is run, in this process or in a sandbox.

A driver is a function `driver(answer, **inputs)`; inputs and outputs are tensors, numbers, strings, None, and lists and
dicts of them. Drivers run beside a learner's code, which could replace them: they hold no wanted value, and what a test
believes are results that it can work out by itself.
"""

import importlib
from collections.abc import Callable
from typing import Any

from rlhf_course.exercises import BY_NAME

# Exercises whose answers are classes, or make objects, which no sandbox hands out; each has a module of drivers here.
DRIVEN = ("HookedTransformerWithValueHead", "get_optimizer", "RLHFTrainer")


def driver(exercise: str, name: str) -> Callable[..., Any]:
    """The driver of that name for an exercise: `observe` for each, and the public functions of its module of drivers.

    Raises:
        AttributeError: no such driver.
    """
    if name == "observe":
        return _observe(exercise)
    if exercise in DRIVEN and not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.{BY_NAME[exercise].module}")
        found = vars(module).get(name)
        if getattr(found, "__module__", None) == module.__name__:
            return found
    raise AttributeError(f"{exercise} has no driver {name!r}")


def _observe(exercise: str) -> Callable[..., Any]:
    def observe(answer: Any, case: str) -> dict[str, Any]:
        """What the visible check sees when the answer meets one of its cases."""
        check = importlib.import_module(f"rlhf_course.checks.{BY_NAME[exercise].module}").CHECK
        return check.observed(answer, case)[0]

    return observe
