"""Define what a setting of a run is: its default, the values that it takes, and its help on the command line."""

import math
from collections.abc import Callable, Iterable
from dataclasses import field, fields
from typing import Any, ClassVar, NamedTuple, Self

from rlhf_course.errors import CourseError

# The prompt of the runs that are about films.
SENTIMENT_PREFIX = "This movie was really"


class Validator(NamedTuple):
    """The values that a setting takes: in words, for the error message of another value, and as a predicate."""

    description: str
    accepts: Callable[[Any], bool]


def integer_from(minimum: int) -> Validator:
    """Return the validator of a whole number of at least `minimum`."""
    return Validator(
        f"a whole number of at least {minimum}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum,
    )


def one_of(values: Iterable[str]) -> Validator:
    """Return the validator of a text that is one of `values`."""
    names = tuple(values)
    return Validator(", ".join(names), lambda value: isinstance(value, str) and value in names)


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_nonempty_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


BOOL = Validator("True or False", lambda value: isinstance(value, bool))
POSITIVE = Validator("a number above 0", lambda value: _is_finite_number(value) and value > 0)
NON_NEGATIVE = Validator("a number of at least 0", lambda value: _is_finite_number(value) and value >= 0)
TEXT = Validator("a text", lambda value: isinstance(value, str))
NONEMPTY_TEXT = Validator("a text that is not empty", _is_nonempty_text)
OPTIONAL_TEXT = Validator("a text that is not empty, or None", lambda value: value is None or _is_nonempty_text(value))
SEED = Validator("a whole number from 0 to 2**64 - 1", lambda value: integer_from(0).accepts(value) and value < 2**64)
REWARD_FN = Validator("a function from a list of texts to a float tensor of their number", callable)


def setting(default: Any, validator: Validator, description: str) -> Any:
    """Return a field of a class of settings; `description` is its text in `rlhf-course train --help`."""
    return field(default=default, metadata={"validator": validator, "help": description})


class RunArgs:
    """What the settings of the later parts' runs share. A subclass is a dataclass, each of whose fields is a `setting`.

    Attributes:
        RUNS: The runs that have these settings, with the fields that each sets.
    """

    RUNS: ClassVar[dict[str, dict[str, Any]]]

    def __post_init__(self) -> None:
        for setting_field in fields(self):  # type: ignore[arg-type]
            validator, value = setting_field.metadata["validator"], getattr(self, setting_field.name)
            if not validator.accepts(value):
                raise CourseError(f"{setting_field.name} takes {validator.description}, got {value!r}")

    @classmethod
    def for_run(cls, run: str, **overrides: Any) -> Self:
        """Return the settings of a run; fields that are given take precedence.

        Raises:
            CourseError: There is no such run or field, or a field cannot take its value.
        """
        if run not in cls.RUNS:
            raise CourseError(f"run takes {' or '.join(cls.RUNS)}, got {run!r}")
        known = {known_field.name for known_field in fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(set(overrides) - known):
            raise CourseError(f"--run {run} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        return cls(**{**cls.RUNS[run], **overrides})
