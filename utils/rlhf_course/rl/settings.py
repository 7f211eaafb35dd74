"""Define what a setting of a run is: its default, the values that it takes, and its help on the command line."""

import math
from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

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
