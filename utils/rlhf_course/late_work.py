"""Compute what late work costs, once for a whole assignment."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Amount:
    """An amount of points, or a percentage of the full marks.

    Attributes:
        number: The points or the percent.
        is_percent: Whether the number is a percentage.
    """

    number: float
    is_percent: bool = False

    def of(self, max_score: float) -> float:
        """Return the amount in points, given the full marks."""
        return self.number * max_score / 100 if self.is_percent else self.number


@dataclass(frozen=True)
class LateRule:
    """What late work costs.

    Attributes:
        penalty_per_day: What each started day costs. A day has 24 hours, also when clocks change.
        flat: What being late costs once, however late.
        grace: The minutes after the due date that cost nothing. Days are counted from the due date all the same.
        latest: The days after which the work counts nothing; None for no such limit.
        max: The highest penalty within `latest`; None for no such limit.
    """

    penalty_per_day: Amount = Amount(0)
    flat: Amount = Amount(0)
    grace: float = 0
    latest: float | None = None
    max: Amount | None = None

    @property
    def costs_nothing(self) -> bool:
        """Whether late work counts like other work."""
        return not (self.penalty_per_day.number or self.flat.number) and self.latest is None


Extension = timedelta | datetime
"""A learner's additional time after the due date, or a later due date of the learner's own."""


def due_date(due: datetime, extension: Extension | None) -> datetime:
    """Return the due date of a learner, who may have an extension."""
    if extension is None:
        return due
    return max(due, extension) if isinstance(extension, datetime) else due + extension


def days_late(due: datetime, handed_in: datetime, extension: Extension | None = None) -> int:
    """Return the number of started days between the due date and the time of handing in; 0 for work in time."""
    return max(0, math.ceil(_lateness(due, handed_in, extension) / _DAY))


def _lateness(due: datetime, handed_in: datetime, extension: Extension | None) -> timedelta:
    """Return the time after a learner's due date, in UTC: times of one zone differ by what its clocks show."""
    return handed_in.astimezone(UTC) - due_date(due.astimezone(UTC), extension)


def late_penalty(
    rule: LateRule,
    due: datetime,
    handed_in: datetime,
    extension: Extension | None,
    score: float,
    max_score: float,
) -> float:
    """Return the points that are subtracted from the score of an assignment.

    Args:
        rule: The rule.
        due: The due date, with a time zone.
        handed_in: The time of handing in, with a time zone.
        extension: The learner's extension; None if there is none.
        score: The points of the whole assignment.
        max_score: The full marks of the whole assignment, of which percentages are taken.

    Returns:
        The penalty, from 0 to the score.
    """
    late = _lateness(due, handed_in, extension)
    if late <= max(timedelta(0), timedelta(minutes=rule.grace)):
        return 0.0
    if rule.latest is not None and late > timedelta(days=rule.latest):
        return max(0.0, score)
    days = days_late(due, handed_in, extension)
    penalty = rule.flat.of(max_score) + days * rule.penalty_per_day.of(max_score)
    if rule.max is not None:
        penalty = min(penalty, rule.max.of(max_score))
    return max(0.0, min(round(penalty, 4), score))
