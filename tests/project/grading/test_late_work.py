"""The penalty for late work: a table of cases."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rlhf_course.late_work import Amount, LateRule, late_penalty

DUE = datetime.fromisoformat("2027-03-05T23:59:00+01:00")
PER_DAY = LateRule(penalty_per_day=Amount(10))
PERCENT = LateRule(penalty_per_day=Amount(10, is_percent=True))
FLAT = LateRule(flat=Amount(10))
GRACE = LateRule(penalty_per_day=Amount(10), grace=15)
LIMITED = LateRule(penalty_per_day=Amount(10), latest=3, max=Amount(25))
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("rule", "late", "score", "penalty"),
    [
        (PER_DAY, -DAY, 82, 0),
        (PER_DAY, 0 * DAY, 82, 0),
        (PER_DAY, SECOND, 82, 10),
        (PER_DAY, DAY, 82, 10),
        (PER_DAY, DAY + SECOND, 82, 20),
        (PER_DAY, 20 * DAY, 82, 82),
        (PER_DAY, 2 * DAY, 15, 15),
        (PER_DAY, DAY, 0, 0),
        (PERCENT, 2 * DAY, 82, 20),
        (FLAT, SECOND, 82, 10),
        (FLAT, 30 * DAY, 82, 10),
        (GRACE, 15 * MINUTE, 82, 0),
        (GRACE, 15 * MINUTE + SECOND, 82, 10),
        (GRACE, DAY + MINUTE, 82, 20),
        (LIMITED, 2 * DAY, 82, 20),
        (LIMITED, 3 * DAY, 82, 25),
        (LIMITED, 3 * DAY + SECOND, 82, 82),
        (LateRule(), 30 * DAY, 82, 0),
        (LateRule(latest=0), SECOND, 82, 82),
    ],
)
def test_the_penalty_of_a_rule(rule, late, score, penalty):
    assert late_penalty(rule, DUE, DUE + late, None, score, 100) == penalty


@pytest.mark.parametrize(
    ("extension", "late", "penalty"),
    [
        (2 * DAY, 2 * DAY, 0),
        (2 * DAY, 2 * DAY + SECOND, 10),
        (DUE + DAY, DAY, 0),
        (DUE + DAY, DAY + SECOND, 10),
        (DUE - 9 * DAY, 0 * DAY, 0),
    ],
)
def test_days_are_counted_from_the_end_of_an_extension(extension, late, penalty):
    assert late_penalty(PER_DAY, DUE, DUE + late, extension, 82, 100) == penalty


@pytest.mark.parametrize(
    ("due", "handed_in", "penalty"),
    [
        # In the night to 2027-03-28 clocks in Berlin go one hour ahead: 24 hours end at 00:59 of the second day.
        ("2027-03-27T23:59:00+01:00", "2027-03-29T00:59:00+02:00", 10),
        ("2027-03-27T23:59:00+01:00", "2027-03-29T00:59:01+02:00", 20),
        # In the night to 2027-10-31 they go back: 24 hours end at 22:59 of the next day.
        ("2027-10-30T23:59:00+02:00", "2027-10-31T22:59:00+01:00", 10),
        ("2027-10-30T23:59:00+02:00", "2027-10-31T23:59:00+01:00", 20),
        ("2027-10-30T23:59:00+02:00", "2027-10-30T22:59:00+01:00", 0),
    ],
)
def test_a_day_has_24_hours_when_clocks_change(due, handed_in, penalty):
    times = [datetime.fromisoformat(text) for text in (due, handed_in)]
    assert late_penalty(PER_DAY, *times, None, 82, 100) == penalty
    assert late_penalty(PER_DAY, *(time.astimezone(UTC) for time in times), None, 82, 100) == penalty
    berlin = [time.astimezone(ZoneInfo("Europe/Berlin")) for time in times]
    assert late_penalty(PER_DAY, *berlin, None, 82, 100) == penalty
