"""Define the class of a part's package, which imports an exercise's file when its name is looked up."""

import importlib
import sys
from types import ModuleType
from typing import Any

from rlhf_course.course import PARTS_BY_NAME, Exercise
from rlhf_course.recording import recorded


class ExercisePackage(ModuleType):
    """A part's package, whose attributes are the exercises' answers.

    An exercise's file is imported when its name is looked up, so a broken file takes no other exercise down. For a
    function that a trainer calls, the attribute is a wrapper that records its results while a phase runs
    (`recording.py`).
    """

    def __getattr__(self, name: str) -> Any:
        exercises = _exercises_of(self.__name__)
        if name not in exercises:
            raise AttributeError(f"module {self.__name__!r} has no exercise {name!r}; it has {', '.join(exercises)}")
        exercise = exercises[name]
        answer = vars(importlib.import_module(f"{self.__name__}.{exercise.module}")).get(name)
        if answer is None:
            raise ImportError(f"{self.__name__}/{exercise.file} does not define {name}: keep the exercise's name")
        return recorded(name, answer)

    def __setattr__(self, name: str, value: Any) -> None:
        # When Python imports the submodule `<part>.compute_advantages`, it sets the package's attribute of that name to
        # the module. That would hide the function of the same name, so such an assignment is ignored.
        if not (name in _exercises_of(self.__name__) and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_exercises_of(self.__name__)})


def _exercises_of(package: str) -> dict[str, Exercise]:
    """Return the exercises of the part whose package has this name, by name."""
    part = PARTS_BY_NAME[package]
    return {exercise.name: exercise for exercise in part.exercises}


def serve_exercises(package: str) -> None:
    """Make an imported package look its exercises up in their files.

    Args:
        package: The name of the package in `sys.modules`.
    """
    sys.modules[package].__class__ = ExercisePackage
