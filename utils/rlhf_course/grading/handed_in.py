"""Read when submissions were handed in, from tables that platforms export or that an instructor writes."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rlhf_course.class_list.matching import learner_ids, match_rows, plain_name
from rlhf_course.class_list.roster import Roster, read_roster
from rlhf_course.errors import CourseError

_LEARNER, _TIME = "learner", "time"
# The columns of Moodle's grading worksheet and of the grades that Gradescope exports.
_PLATFORM_TIMES = ("last modified (submission)", "submission time")
_MOODLE_FORMAT = "%A, %d %B %Y, %I:%M %p"
_NO_TIME = ("", "-")
_SPACE_BEFORE_OFFSET = re.compile(r"\s+(?=[+-]\d{2}:?\d{2}\Z)")


def read_handed_in(path: Path, names: Sequence[str], timezone: str = "") -> dict[str, datetime]:
    """Read when the submissions of a class were handed in.

    Args:
        path: A table with the columns `learner` and `time`, Moodle's grading worksheet, or Gradescope's grades.
        names: The names of the submissions.
        timezone: The zone of times without one; empty if there is none.

    Returns:
        The time of handing in by the name of the submission, of those that the table has a time of.

    Raises:
        CourseError: The table cannot be read, or a time in it is none or has no zone.
    """
    table = read_roster(path)
    if (learner := table.find([_LEARNER])) is not None and (time := table.find([_TIME])) is not None:
        rows = _rows_by_learner(table, learner)
        row_of = {name: rows[key] for name in names if (key := plain_name(name)) in rows}
        # As in the extensions of course.toml, the number that a platform gave is enough.
        row_of |= {name: rows[number] for name, number in zip(names, learner_ids(names), strict=True) if number in rows}
    elif (time := table.find(_PLATFORM_TIMES)) is not None:
        matched = match_rows(names, table).submissions
        row_of = {names[index]: row for row, index in matched.items()}
    else:
        raise CourseError(
            f"{path} has no times: it needs the columns {_LEARNER!r} and {_TIME!r}, Moodle's 'Last modified "
            f"(submission)', or Gradescope's 'Submission Time'; its columns are {table.listed_columns()}"
        )
    cells = {name: table.cell(table.rows[row], time).strip() for name, row in row_of.items()}
    return {name: parse_time(cell, timezone, str(path)) for name, cell in cells.items() if cell not in _NO_TIME}


def parse_time(text: str, timezone: str, source: str) -> datetime:
    """Return the time that a text gives, with its zone.

    Args:
        text: A time as in ISO 8601, or as Moodle writes it in English.
        timezone: The zone of a time without one; empty if there is none.
        source: The name of the file, for the message.

    Raises:
        CourseError: The text is no time, or has no zone, and there is none for it.
    """
    try:
        time = datetime.fromisoformat(_SPACE_BEFORE_OFFSET.sub("", text.removesuffix(" UTC") + _utc(text)))
    except ValueError:
        try:
            time = datetime.strptime(text, _MOODLE_FORMAT)
        except ValueError:
            raise CourseError(
                f"{source}: {text[:60]!r} is no time such as 2027-03-05T23:59:00+01:00; write a table with the columns "
                f"{_LEARNER!r} and {_TIME!r}"
            ) from None
    if time.tzinfo is not None:
        return time
    if not timezone:
        raise CourseError(f"{source}: {text[:60]!r} has no time zone: set timezone in course.toml")
    return time.replace(tzinfo=ZoneInfo(timezone))


def _utc(text: str) -> str:
    return "+00:00" if text.endswith(" UTC") else ""


def _rows_by_learner(table: Roster, column: int) -> dict[str, int]:
    rows: dict[str, int] = {}
    for index, row in enumerate(table.rows):
        name = plain_name(table.cell(row, column))
        if name in rows:
            raise CourseError(
                f"{table.path} has several rows of {name!r}: keep the one of the submission that is graded"
            )
        rows[name] = index
    return rows
