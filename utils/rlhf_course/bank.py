"""Mark and load the answers in an exercise's bank, `tests/hidden/<part>/<exercise>.py`.

An answer in the bank is a function or class with one of the decorators of this module: a known mistake or a right
answer. The docstring of a mistake says what is wrong; a learner reads the docstring of a visible mistake.
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
# The least numbers of answers in a bank, which the tests of the bank check.
LEAST_VISIBLE, LEAST_WRONG, LEAST_RIGHT = 8, 15, 5
_MARK = "_bank_mark"


@dataclass(frozen=True)
class Mark:
    """The mark that a decorator stores on an answer.

    Attributes:
        kind: "visible" for a mistake that the self-check recognises, "hidden" for a mistake that only the hidden tests
            have to refuse, "right" for a right answer.
        refused_with: Part of the message with which the hidden tests must refuse the answer; empty for any message.
    """

    kind: Kind
    refused_with: str = ""


def _mark(answer: Answer | None, mark: Mark) -> Any:
    """Store a mark on an answer and return the answer; without an answer, return a decorator that does so."""

    def decorate(marked: Answer) -> Answer:
        setattr(marked, _MARK, mark)
        return marked

    return decorate if answer is None else decorate(answer)


@overload
def visible_mistake(answer: Answer) -> Answer: ...
@overload
def visible_mistake(*, refused_with: str) -> Callable[[Answer], Answer]: ...
def visible_mistake(answer: Any = None, *, refused_with: str = "") -> Any:
    """Mark a known mistake: the self-check recognises it, and shows its docstring to the learner.

    Args:
        answer: The function or class, where the decorator is used without arguments.
        refused_with: Part of the message with which the hidden tests must refuse the answer.
    """
    return _mark(answer, Mark("visible", refused_with))


@overload
def hidden_mistake(answer: Answer) -> Answer: ...
@overload
def hidden_mistake(*, refused_with: str) -> Callable[[Answer], Answer]: ...
def hidden_mistake(answer: Any = None, *, refused_with: str = "") -> Any:
    """Mark a wrong answer that only the hidden tests have to refuse; the self-check may accept it.

    Args:
        answer: The function or class, where the decorator is used without arguments.
        refused_with: Part of the message with which the hidden tests must refuse the answer.
    """
    return _mark(answer, Mark("hidden", refused_with))


def right_answer(answer: Answer) -> Answer:
    """Mark a right answer that works in another way than the reference."""
    marked: Answer = _mark(answer, Mark("right"))
    return marked


@dataclass(frozen=True)
class Bank:
    """The answers of one exercise by kind and name, in the order in which the file defines them."""

    visible: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    right: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> dict[str, Any]:
        """All wrong answers: the visible mistakes, then the hidden ones."""
        return self.visible | self.hidden


def bank_file(root: Path, exercise: Exercise) -> Path:
    """Return the path of an exercise's bank in the repository `root`."""
    return root / "tests/hidden" / exercise.path


def read_bank(path: Path) -> Bank:
    """Load a bank from its file.

    Raises:
        CourseError: There is no such file, or a public function or class in it has no decorator.
    """
    if not path.is_file():
        raise CourseError(f"{path} is missing: write the wrong and right answers of the exercise there")
    bank = Bank()
    module = load_module(path, f"_bank_{path.parent.name}_{path.stem}")
    for name, answer in vars(module).items():
        if name.startswith("_") or getattr(answer, "__module__", None) != module.__name__:
            continue
        getattr(bank, _mark_of(path, name, answer).kind)[name] = answer
    return bank


def missing_answers(exercise: str, bank: Bank, least_wrong: int = LEAST_WRONG) -> list[str]:
    """Return a sentence for each kind of answer of which a bank has too few."""
    counts = [
        ("visible mistakes", len(bank.visible), LEAST_VISIBLE),
        ("wrong answers", len(bank.wrong), least_wrong),
        ("right answers", len(bank.right), LEAST_RIGHT),
    ]
    return [
        f"{exercise}: the bank has {have} of at least {least} {kind}" for kind, have, least in counts if have < least
    ]


def refused_with(answer: Any) -> str:
    """Return the part of a message with which the hidden tests must refuse an answer; empty for any message."""
    mark: Mark = vars(answer)[_MARK]
    return mark.refused_with


def description_of(exercise: Exercise, name: str, answer: Any) -> str:
    """Return the docstring of a wrong answer on one line.

    Raises:
        CourseError: The answer has no docstring.
    """
    if not answer.__doc__:
        raise CourseError(
            f"mistake {name} of {exercise.name} has no docstring: write the sentence that the learner reads"
        )
    return " ".join(answer.__doc__.split())


def _mark_of(path: Path, name: str, answer: Any) -> Mark:
    mark = vars(answer).get(_MARK)  # not getattr: a class must not inherit the mark of its base class
    if not isinstance(mark, Mark):
        raise CourseError(
            f"{path.name}: {name} is not marked: put @visible_mistake, @hidden_mistake or @right_answer above it, "
            "or begin a helper's name with an underscore"
        )
    return mark
