"""The bank of an exercise: wrong answers, visible or hidden, and right answers, in `tests/hidden/<part>/<exercise>.py`.

An answer is a function or class under one of the decorators. The docstring of a wrong answer is the sentence that
says what is wrong; for a visible mistake it is what the learner reads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.files import load_module

Kind = Literal["visible", "hidden", "right"]
Answer = TypeVar("Answer", bound=Callable[..., Any])
_MARK = "_bank_mark"


@dataclass(frozen=True)
class Mark:
    """What a decorator notes on an answer.

    Attributes:
        kind: "visible" for a mistake that the self-check names, "hidden" for one that the hidden tests refuse, "right".
        refused_with: part of the message with which the hidden tests refuse it, where a certain message matters.
    """

    kind: Kind
    refused_with: str = ""


def _mark(answer: Answer | None, mark: Mark) -> Any:
    def decorate(marked: Answer) -> Answer:
        setattr(marked, _MARK, mark)
        return marked

    return decorate if answer is None else decorate(answer)


@overload
def visible_mistake(answer: Answer) -> Answer: ...
@overload
def visible_mistake(*, refused_with: str) -> Callable[[Answer], Answer]: ...
def visible_mistake(answer: Any = None, *, refused_with: str = "") -> Any:
    """Mark a known mistake: the self-check names it by its docstring, and no two of them look alike there."""
    return _mark(answer, Mark("visible", refused_with))


@overload
def hidden_mistake(answer: Answer) -> Answer: ...
@overload
def hidden_mistake(*, refused_with: str) -> Callable[[Answer], Answer]: ...
def hidden_mistake(answer: Any = None, *, refused_with: str = "") -> Any:
    """Mark a wrong answer that only the hidden tests have to refuse: the self-check may pass it."""
    return _mark(answer, Mark("hidden", refused_with))


def right_answer(answer: Answer) -> Answer:
    """Mark a right answer that goes another way than the reference's."""
    return _mark(answer, Mark("right"))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Bank:
    """The answers of one exercise's file, by name, in the order in which they are written."""

    visible: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    right: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> dict[str, Any]:
        """Every wrong answer."""
        return self.visible | self.hidden


def bank_file(root: Path, exercise: Exercise) -> Path:
    """The file of an exercise's bank in a repository."""
    return root / "tests/hidden" / exercise.path


def read_bank(path: Path) -> Bank:
    """Load the answers of a bank's file.

    Raises:
        CourseError: there is no such file, or a public function or class in it is not marked.
    """
    if not path.is_file():
        raise CourseError(f"{path} is missing: every exercise has its wrong and right answers there")
    bank = Bank()
    module = load_module(path, f"_bank_{path.parent.name}_{path.stem}")
    for name, answer in vars(module).items():
        if name.startswith("_") or getattr(answer, "__module__", None) != module.__name__:
            continue
        getattr(bank, _mark_of(path, name, answer).kind)[name] = answer
    return bank


def refused_with(answer: Any) -> str:
    """Part of the message with which the hidden tests refuse a wrong answer; empty where any fitting message will do."""
    mark: Mark = vars(answer)[_MARK]
    return mark.refused_with


def sentence_of(exercise: Exercise, name: str, answer: Any) -> str:
    """The sentence that says what is wrong with an answer, on one line.

    Raises:
        CourseError: the answer has none.
    """
    if not answer.__doc__:
        raise CourseError(
            f"mistake {name} of {exercise.name} has no docstring: it is the sentence that the learner reads"
        )
    return " ".join(answer.__doc__.split())


def _mark_of(path: Path, name: str, answer: Any) -> Mark:
    mark = vars(answer).get(_MARK)  # a class does not inherit its base's
    if not isinstance(mark, Mark):
        raise CourseError(
            f"{path.name}: {name} is not marked: put @visible_mistake, @hidden_mistake or @right_answer above it, "
            "or begin a helper's name with an underscore"
        )
    return mark
