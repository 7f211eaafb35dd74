"""Read `course.toml`, in which an instructor sets a course's points, exercises, due dates and late rule."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rlhf_course.course import DEFAULT_PART, EXERCISES, PARTS_BY_NAME, Exercise, Part, select_parts
from rlhf_course.errors import CourseError
from rlhf_course.late_work import Amount, Extension, LateRule

COURSE_FILE = "course.toml"
_ASSIGNMENT = re.compile(r"[A-Za-z0-9_-]+")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_TEMPLATE = """\
# Settings of this course. A line such as "# key = value" shows the default or an example: delete the "# " to set it.
# A wrong key or value is refused with its line.

# The title in reports.
# title = {title}

# The parts that are released and graded.
# parts = ["{part}"]

# Further assignments that you make in nbgrader, so that they may have due dates below.
{assignments}

# Exercises that are neither taught nor graded. Learners get their code, and later exercises use it.
# left_out = ["{exercise}"]

# The zone of times that a platform exports without one, such as Moodle.
# timezone = "Europe/Berlin"

# The points of the exercises. The points of the hidden tests are scaled to them.
[points]
{points}

# Full marks, by part or assignment, where they are fewer than all points: who has more has full marks.
[full]
# {part} = {full}

# Due dates, by part or assignment, with the offset from UTC.
[due]
# {part} = 2027-03-05T23:59:00+01:00

# What late work costs, once an assignment: points such as 10, or a percentage of full marks such as "10%".
[late]
# penalty_per_day = "10%"  # for each started day of 24 hours
# flat = 0                 # once, however late
# grace = 15               # minutes after the due date that cost nothing
# latest = 7               # days after which the work counts nothing
# max = "50%"              # the highest penalty before that

# Extensions by learner: days for each assignment, a due date of their own, or either by assignment. A learner is named
# as in nbgrader; outside nbgrader as the submission, or by Canvas' or Moodle's number in the submission's name.
[extensions]
# ada = 2
# ben = 2027-03-12T23:59:00+01:00
# "cy@example.org" = {{ {part} = 3 }}
"""
_EVERY = ""  # an extension of a learner for each assignment
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class CourseFile:
    """The settings of a course. The defaults are those of a course without a file.

    Attributes:
        title: The course's title in reports.
        timezone: The zone of times that a platform writes without one; empty if there is none.
        part_names: The names of the parts that are released and graded.
        assignments: The names of further assignments that the instructor makes in nbgrader.
        points: The points of the exercises that do not have those of the list.
        left_out: The exercises that learners get answered, and that are not graded.
        full: The full marks, by part or assignment, where they are not the sum of the points.
        due: The due dates, by part or assignment.
        late: What late work costs.
        extensions: The extensions by learner and assignment; the assignment "" means each one.
    """

    title: str = ""
    timezone: str = ""
    part_names: tuple[str, ...] = (DEFAULT_PART.name,)
    assignments: tuple[str, ...] = ()
    points: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    full: Mapping[str, float] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    late: LateRule = field(default_factory=LateRule)
    extensions: Mapping[str, Mapping[str, Extension]] = field(default_factory=dict)

    def parts(self, names: Sequence[str] | None = None) -> tuple[Part, ...]:
        """Return parts with this course's points, and without the exercises that are left out.

        Args:
            names: The names of parts, or "all"; None or nothing for the parts of the course.

        Raises:
            CourseError: There is no part of such a name.
        """
        return tuple(self._with_points(part) for part in select_parts(names or self.part_names))

    def _with_points(self, part: Part) -> Part:
        exercises = [exercise for exercise in part.exercises if exercise.name not in self.left_out]
        return replace(
            part, exercises=tuple(replace(exercise, points=self.points_of(exercise)) for exercise in exercises)
        )

    def points_of(self, exercise: Exercise) -> float:
        """Return the points of an exercise in this course."""
        return self.points.get(exercise.name, exercise.points)

    def extension(self, learner: str, assignment: str) -> Extension | None:
        """Return the extension of a learner for an assignment; None if there is none."""
        by_learner = {name.strip().lower(): extensions for name, extensions in self.extensions.items()}
        extensions = by_learner.get(learner.strip().lower(), {})
        return extensions.get(assignment, extensions.get(_EVERY))


def read_course_file(path: Path | None) -> CourseFile:
    """Read a course's file.

    Args:
        path: The file; None for a course without one.

    Raises:
        CourseError: The file cannot be read, or an entry is wrong; the message has the line and what is allowed.
    """
    if path is None:
        return CourseFile()
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is not written in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{path} is no TOML file: {error}") from error
    return _Reader(path, text).course(content)


def course_file_in(folder: Path) -> CourseFile:
    """Read the file `course.toml` of a folder; without such a file, the settings are the defaults.

    Raises:
        CourseError: An entry is wrong.
    """
    path = folder / COURSE_FILE
    return read_course_file(path if path.is_file() else None)


def course_file_template(title: str = "", assignments: Sequence[str] = ()) -> str:
    """Return the text of a new `course.toml`: every key with what it does, in comments, so that nothing changes.

    Args:
        title: The title that the comment shows.
        assignments: The further assignments of the course, which are set.
    """
    points = "\n".join(f"# {exercise.name} = {exercise.points:g}" for exercise in EXERCISES)
    return _TEMPLATE.format(
        title=json.dumps(title or DEFAULT_PART.title),
        part=DEFAULT_PART.name,
        assignments=("" if assignments else "# ") + f"assignments = {json.dumps(assignments or ['week1', 'week2'])}",
        points=points,
        exercise=DEFAULT_PART.exercises[-1].name,
        full=f"{DEFAULT_PART.points - DEFAULT_PART.exercises[-1].points:g}",
    )


class _Reader:
    """Turn the content of a file into settings, with messages that name the line of a wrong entry."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._lines = path, text.splitlines()

    def course(self, content: Mapping[str, Any]) -> CourseFile:
        """Return the settings.

        Raises:
            CourseError: An entry is wrong.
        """
        readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "title": ("title", lambda value: self._text(("title",), value)),
            "timezone": ("timezone", self._timezone),
            "parts": ("part_names", lambda value: self._names("parts", value, list(PARTS_BY_NAME))),
            "assignments": ("assignments", self._assignments),
            "points": ("points", lambda value: self._table("points", value, _EXERCISE_NAMES, self._number)),
            "left_out": ("left_out", lambda value: self._names("left_out", value, _EXERCISE_NAMES)),
            "late": ("late", self._late),
        }
        by_assignment = {
            "full": ("full", self._positive),
            "due": ("due", self._time),
        }
        self._known((), content, [*readers, *by_assignment, "extensions"])
        fields = {name: read(content[key]) for key, (name, read) in readers.items() if key in content}
        assignments = [*PARTS_BY_NAME, *fields.get("assignments", ())]
        for key, (name, read_value) in by_assignment.items():
            fields[name] = self._table(key, content.get(key, {}), assignments, read_value)
        fields["extensions"] = self._extensions(content.get("extensions", {}), assignments)
        course = CourseFile(**fields)
        for part in course.parts(list(PARTS_BY_NAME)):
            if not part.exercises:
                raise self._error(("left_out",), f"leaves no exercise of {part.name}")
            if course.full.get(part.name, 0) > part.points:
                raise self._error(("full", part.name), f"is more than all points of the part, {part.points:g}")
        return course

    def _timezone(self, value: Any) -> str:
        name = self._text(("timezone",), value)
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise self._error(("timezone",), f"takes a zone such as 'Europe/Berlin', got {name!r}") from None
        return name

    def _late(self, value: Any) -> LateRule:
        kinds: dict[str, Callable[[tuple[str, ...], Any], Any]] = {
            "penalty_per_day": self._amount,
            "flat": self._amount,
            "grace": self._number,
            "latest": self._number,
            "max": self._amount,
        }
        self._is_table(("late",), value)
        self._known(("late",), value, list(kinds))
        return LateRule(**{key: kinds[key](("late", key), item) for key, item in value.items()})

    def _extensions(self, value: Any, assignments: Sequence[str]) -> dict[str, dict[str, Extension]]:
        self._is_table(("extensions",), value)
        read: dict[str, dict[str, Extension]] = {}
        for learner, item in value.items():
            path = ("extensions", learner)
            if isinstance(item, dict):
                self._known(path, item, assignments)
                read[learner] = {name: self._extension((*path, name), entry) for name, entry in item.items()}
            else:
                read[learner] = {_EVERY: self._extension(path, item)}
        return read

    def _extension(self, path: tuple[str, ...], value: Any) -> Extension:
        if isinstance(value, datetime):
            return self._time(path, value)
        if not _is_number(value) or value < 0:
            raise self._error(path, f"takes days, or a date like 2027-03-05T23:59:00+01:00, got {value!r}")
        return timedelta(days=value)

    def _assignments(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self._error(("assignments",), f"takes a list of names, got {value!r}")
        for name in value:
            if not _ASSIGNMENT.fullmatch(name):
                raise self._error(("assignments",), f"takes names of letters, digits, - and _, got {name!r}", name)
        return tuple(value)

    def _names(self, key: str, value: Any, known: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._error((key,), f"takes a list, such as [{known[0]!r}], got {value!r}")
        for name in value:
            if name not in known:
                raise self._error((key,), f"takes {', '.join(known)}, got {name!r}", name)
        return tuple(dict.fromkeys(value))

    def _table(
        self, key: str, value: Any, known: Sequence[str], read: Callable[[tuple[str, ...], Any], _Value]
    ) -> dict[str, _Value]:
        self._is_table((key,), value)
        self._known((key,), value, known)
        return {name: read((key, name), item) for name, item in value.items()}

    def _is_table(self, path: tuple[str, ...], value: Any) -> None:
        if not isinstance(value, dict):
            raise self._error(path, f"is a table: write its entries below [{path[-1]}]")

    def _known(self, path: tuple[str, ...], table: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                raise self._error((*path, key), f"is unknown here; allowed are {', '.join(known)}")

    def _text(self, path: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str):
            raise self._error(path, f"takes a text in quotes, got {value!r}")
        return value

    def _number(self, path: tuple[str, ...], value: Any) -> float:
        if not _is_number(value) or value < 0:
            raise self._error(path, f"takes a number, 0 or more, got {value!r}")
        return int(value) if value == int(value) else float(value)

    def _positive(self, path: tuple[str, ...], value: Any) -> float:
        if not _is_number(value) or value <= 0:
            raise self._error(path, f"takes a number above 0, got {value!r}")
        return float(value)

    def _amount(self, path: tuple[str, ...], value: Any) -> Amount:
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
            return Amount(float(match[1]), is_percent=True)
        if not _is_number(value) or value < 0:
            raise self._error(
                path, f'takes points such as 10, or a percentage of full marks such as "10%", got {value!r}'
            )
        return Amount(float(value))

    def _time(self, path: tuple[str, ...], value: Any) -> datetime:
        if not isinstance(value, datetime) or value.tzinfo is None:
            shown = value.isoformat() if hasattr(value, "isoformat") else repr(value)
            raise self._error(
                path, f"takes a date, a time and their offset from UTC, like 2027-03-05T23:59:00+01:00, got {shown}"
            )
        return value

    def _error(self, path: tuple[str, ...], message: str, entry: object = None) -> CourseError:
        line = self._line(path, entry)
        place = f"{self._path}, line {line}" if line else str(self._path)
        return CourseError(f"{place}: {'.'.join(path)} {message}")

    def _line(self, path: tuple[str, ...], entry: object) -> int | None:
        """Return the line of an entry: that of its key, or of the table that it is in; of a list, that of an element.

        `tomllib` does not keep lines, so the keys are searched for.
        """
        table: tuple[str, ...] = ()
        found: int | None = None
        depth = 0
        for number, line in enumerate(self._lines, 1):
            if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(#.*)?", line):
                table = _key_path(header[1])
                key = table
            elif assigned := re.match(r"""\s*((?:"[^"]*"|'[^']*'|[\w.\s-])+?)\s*=""", line):
                key = (*table, *_key_path(assigned[1]))
            else:
                continue
            if key and path[: len(key)] == key and len(key) > depth:
                depth, found = len(key), number
        if entry is not None and found is not None:
            quoted = (f'"{entry}"', f"'{entry}'")
            elements = range(found, len(self._lines) + 1)
            found = next((row for row in elements if any(text in self._lines[row - 1] for text in quoted)), found)
        return found


_EXERCISE_NAMES = [exercise.name for exercise in EXERCISES]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e9


def _key_path(key: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, such as `late.flat` or `extensions."ada@example.org"`."""
    try:
        value: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)
