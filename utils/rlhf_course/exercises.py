"""The list of exercises, and the package class that serves them by name."""

import importlib
import sys
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """One exercise: its symbol, where it is written, and what it asks of a learner.

    Attributes:
        name: the symbol that `part1_rlhf` exports.
        notebook: stem of the notebook that teaches it.
        points: marks of the hidden suite.
        difficulty, importance: out of five.
        minutes: what a prepared learner needs, as (least, most).
    """

    name: str
    notebook: str
    points: int
    difficulty: int
    importance: int
    minutes: tuple[int, int]
    stem: str = ""

    @property
    def module(self) -> str:
        """Name of the submodule of `part1_rlhf` that holds the answer."""
        return self.stem or self.name

    @property
    def file(self) -> str:
        """Path of the answer's file below `part1_rlhf/`."""
        return f"{self.module}.py"

    def as_json(self) -> dict[str, Any]:
        """The exercise as `rlhf-course exercises --json` prints it."""
        fields = asdict(self)
        del fields["stem"]
        return {"name": fields.pop("name"), "file": self.file, **fields}


# In the order in which the course teaches them. A new exercise is one line here and the files named after it.
EXERCISES = (
    Exercise("HookedTransformerWithValueHead", "03_value_head", 10, 3, 4, (15, 25), stem="value_head"),
    Exercise("reward_fn_char_count", "04_sampling_and_rewards", 4, 1, 2, (5, 10)),
    Exercise("normalize_reward", "04_sampling_and_rewards", 4, 1, 2, (5, 5)),
    Exercise("compute_advantages", "05_advantages_and_memory", 8, 2, 3, (10, 20)),
    Exercise("calc_kl_penalty", "06_objective", 8, 2, 3, (10, 15)),
    Exercise("calc_entropy_bonus", "06_objective", 6, 2, 3, (10, 10)),
    Exercise("get_logprobs", "06_objective", 8, 2, 3, (10, 15)),
    Exercise("get_optimizer", "07_optimizer", 8, 3, 3, (10, 15)),
    Exercise("RLHFTrainer", "08_training", 20, 5, 5, (40, 60), stem="trainer"),
    Exercise("reward_fn_sentiment_imdb", "09_sentiment", 10, 4, 4, (30, 50)),
)
BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


class ExercisePackage(ModuleType):
    """A package that answers for each exercise's name with the object defined in that exercise's file.

    A file is imported when its exercise is asked for, so one that is broken takes no other down.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in BY_NAME:
            raise AttributeError(f"module {self.__name__!r} has no exercise {name!r}; it has {', '.join(BY_NAME)}")
        exercise = BY_NAME[name]
        answer = vars(importlib.import_module(f"{self.__name__}.{exercise.module}")).get(name)
        if answer is None:
            raise ImportError(f"{self.__name__}/{exercise.file} does not define {name}: the exercise keeps its name")
        return answer

    def __setattr__(self, name: str, value: Any) -> None:
        # After importing `part1_rlhf.compute_advantages` Python binds that submodule to the package's attribute
        # of the same name, which is where the function is looked up: such a binding is dropped.
        if not (name in BY_NAME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *BY_NAME})


def serve_exercises(package: str) -> None:
    """Make an imported package (by module name) look its exercises up in their files."""
    sys.modules[package].__class__ = ExercisePackage
