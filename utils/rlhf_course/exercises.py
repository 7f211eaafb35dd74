"""The package class that gives an exercise's answer by the exercise's name."""

import importlib
import sys
from types import ModuleType
from typing import Any

from rlhf_course.course import PARTS_BY_NAME, Exercise


class ExercisePackage(ModuleType):
    """A part's package, which gives for each exercise's name the object that the exercise's file defines.

    A file is imported when its exercise is asked for, so that a broken file takes no other exercise down.
    """

    def __getattr__(self, name: str) -> Any:
        exercises = _exercises_of(self.__name__)
        if name not in exercises:
            raise AttributeError(f"module {self.__name__!r} has no exercise {name!r}; it has {', '.join(exercises)}")
        exercise = exercises[name]
        answer = vars(importlib.import_module(f"{self.__name__}.{exercise.module}")).get(name)
        if answer is None:
            raise ImportError(f"{self.__name__}/{exercise.file} does not define {name}: the exercise keeps its name")
        return answer

    def __setattr__(self, name: str, value: Any) -> None:
        # After importing `<part>.compute_advantages` Python binds that submodule to the package's attribute of the
        # same name, which is where the function is looked up: such a binding is dropped.
        if not (name in _exercises_of(self.__name__) and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_exercises_of(self.__name__)})


def _exercises_of(package: str) -> dict[str, Exercise]:
    """The exercises of the part with that package, by name."""
    return {exercise.name: exercise for exercise in PARTS_BY_NAME[package].exercises}


def serve_exercises(package: str) -> None:
    """Make an imported package (by module name) look its exercises up in their files."""
    sys.modules[package].__class__ = ExercisePackage
