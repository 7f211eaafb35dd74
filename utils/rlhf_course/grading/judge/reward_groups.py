"""Draw rewards in groups, a group for each prompt, for the hidden tests of `group_advantages` and `rloo_advantages`."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from rlhf_course.grading.judge.circumstances import EQUAL_SIZES, Call, Circumstance, Floats, Inputs, Size
from rlhf_course.grading.judge.compare import expect_value_error
from rlhf_course.grading.judge.draw import Draw

# The rewards are drawn as a table with a row for each prompt, and passed row by row.
INPUTS = Inputs(
    sizes={"prompts": (2, 6), "group": (3, 8)},
    arguments={"rewards": Floats(("prompts", "group"), scale=1.5, mean=0.5), "group_size": Size("group")},
    words={"prompts": "one prompt"},
)
TWO_COMPLETIONS = Circumstance("for groups of two", sizes={"group": 2})
MANY_PROMPTS = Circumstance("for many prompts", sizes={"prompts": 67})
LARGE_GROUPS = Circumstance("for large groups", sizes={"group": 64})
SQUARE = replace(EQUAL_SIZES, phrase="for as many prompts as completions")
# An advantage that is rounded to four decimals is refused.
EXACT = {"rtol": 1e-5, "atol": 5e-6}

# Changes the table of rewards of a call.
Change: TypeAlias = Callable[[Draw, Call], Call]


def row_by_row(call: Call) -> Call:
    """Return the call with its table of rewards in one row."""
    rewards = call.exact["rewards"].flatten().to(call.circumstance.dtype)
    return call.with_arguments(rewards=rewards)


def grouped_calls(draw: Draw, circumstances: Iterable[Circumstance], each: int = 1) -> list[Call]:
    """Draw calls as `Inputs.calls` does, with the rewards in one row."""
    return [row_by_row(call) for call in INPUTS.calls(draw, circumstances, each)]


def grouped_call(draw: Draw, circumstance: Circumstance, change: Change | None = None) -> Call:
    """Draw one call with the rewards in one row, after a change of their table."""
    call = INPUTS.call(draw, circumstance)
    return row_by_row(call if change is None else change(draw, call))


def with_large_mean(draw: Draw, call: Call) -> Call:
    """Return the call with rewards far from 0 that differ by little."""
    level = float(draw.integer(2_000, 4_000))
    moved = level + 0.25 * call.exact["rewards"].float()
    return call.with_arguments("for rewards that differ little and are far from 0", rewards=moved)


def with_outlier(draw: Draw, call: Call) -> Call:
    """Return the call with one reward in each group that is far above the others."""
    rewards = call.exact["rewards"].float()
    for row in rewards:
        row[draw.integer(0, len(row) - 1)] = float(draw.integer(400, 900))
    return call.with_arguments("for groups of which one is far above the others", rewards=rewards)


def of_penalties(draw: Draw, call: Call) -> Call:
    """Return the call with rewards that are all below 0."""
    rewards = -0.25 - call.exact["rewards"].float().abs()
    return call.with_arguments("for rewards that are all negative", rewards=rewards)


def of_verifier(draw: Draw, call: Call) -> Call:
    """Return the call with rewards of a verifier, which are 0 and 1, both in each group."""
    rewards = draw.integers(0, 1, *call.exact["rewards"].shape).float()
    rewards[:, 0], rewards[:, -1] = 1.0, 0.0
    return call.with_arguments("for rewards that are 0 or 1", rewards=rewards)


def expect_value_errors(answer: Any, draw: Draw, call: Call, *options: Any, phrase: str = "") -> None:
    """Assert that an answer raises a ValueError for rewards that are not made of groups.

    Args:
        answer: The answer, which gives the right advantages in the call: a test has to require that.
        draw: The test's source of random values.
        call: A call whose rewards are in one row.
        options: The arguments of the answer behind the first two.
        phrase: What is particular about the options, with a comma on either side.

    Raises:
        AssertionError: A result came, or another exception.
    """
    rewards, group_size = call.passed()
    for size, words in ((1, "A group of one"), (0, "A group of none"), (-group_size, "A negative group size")):
        expect_value_error(answer, [rewards.clone(), size, *options], words + phrase)
    shorter = rewards[: len(rewards) - draw.integer(1, group_size - 1)]
    smaller = rewards[: draw.integer(2, group_size - 1)]
    for fewer, words in ((shorter, "A batch that groups do not divide"), (smaller, "A batch smaller than a group")):
        expect_value_error(answer, [fewer.clone(), group_size, *options], words + phrase)
