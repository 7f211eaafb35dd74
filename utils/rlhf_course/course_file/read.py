"""Read `course.toml` into the settings of a course, and refuse what is wrong with a sentence on its line."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rlhf_course.course import EXERCISES, PARTS_BY_NAME
from rlhf_course.course_file.consistency import check_consistency
from rlhf_course.course_file.settings import EVERY, CourseFile
from rlhf_course.late_work import Amount, Extension, LateRule
from rlhf_course.toml_file import KeyPath, TomlFile, nearest, parse_toml, read_toml, shown

COURSE_FILE = "course.toml"
_ASSIGNMENT = re.compile(r"[A-Za-z0-9_-]+")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?%")
_EXERCISE_NAMES = [exercise.name for exercise in EXERCISES]
_MAX_POINTS, _MAX_DAYS, _MAX_MINUTES = 1_000_000, 3650, 365 * 24 * 60
_YEARS = range(2000, 2200)
_DATE = "a date, a time with seconds and their offset from UTC, like 2027-03-05T23:59:00+01:00 without quotes"
_AMOUNT = 'points such as 10, or a percentage of full marks such as "10%", at most "100%"'
_POINTS, _MINUTES, _DAYS = (
    f"a number from 0 to {_MAX_POINTS}",
    f"minutes from 0 to {_MAX_MINUTES}",
    f"days from 0 to {_MAX_DAYS}",
)
_LATE = {"penalty_per_day": _AMOUNT, "flat": _AMOUNT, "grace": _MINUTES, "latest": _DAYS, "max": _AMOUNT}
_KEYS = {
    "title": "a text of one line in quotes",
    "timezone": "a zone such as 'Europe/Berlin' in quotes",
    "parts": f"a list of parts, such as [{EXERCISES[0].part!r}]",
    "assignments": "a list of names of letters, digits, - and _, such as ['week1', 'week2']",
    "left_out": f"a list of exercises, such as [{_EXERCISE_NAMES[0]!r}]",
}
_ENTRIES = {
    "points": _POINTS,
    "full": f"a number above 0, at most {_MAX_POINTS}",
    "due": _DATE,
    "extensions": f"days such as 2, at most {_MAX_DAYS}, or {_DATE}",
}
_ALL_KEYS = [*_KEYS, *_ENTRIES, "late"]
_Value = TypeVar("_Value")


def read_course_file(path: Path | None) -> CourseFile:
    """Read a course's file.

    Args:
        path: The file; None for a course without one.

    Raises:
        CourseError: The file cannot be read, or an entry is wrong; the message has the line and what is allowed.
    """
    return CourseFile() if path is None else _Reader(read_toml(path, _takes)).course()


def parse_course_file(content: bytes, path: Path) -> CourseFile:
    """Return the settings that a course's file has, given its content; see `read_course_file`."""
    return _Reader(parse_toml(content, path, _takes)).course()


def course_file_in(folder: Path) -> CourseFile:
    """Read the file `course.toml` of a folder; without such a file, the settings are the defaults.

    Raises:
        CourseError: The file cannot be read, or an entry is wrong.
    """
    path = folder / COURSE_FILE
    return read_course_file(path if os.path.lexists(path) else None)


def _takes(key: KeyPath) -> str:
    """Return what a key takes, for messages; empty if there is no such key."""
    table, *names = key
    if not names:
        return _KEYS.get(table, "")
    return _LATE.get(names[0], "") if table == "late" else _ENTRIES.get(table, "")


class _Reader:
    """Turn the content of a file into settings."""

    def __init__(self, file: TomlFile) -> None:
        self._file = file

    def course(self) -> CourseFile:
        """Return the settings.

        Raises:
            CourseError: An entry is wrong.
        """
        content = self._file.content
        self._known((), content, _ALL_KEYS)
        readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "title": ("title", self._title),
            "timezone": ("timezone", self._timezone),
            "parts": ("part_names", lambda value: self._names("parts", value, list(PARTS_BY_NAME))),
            "assignments": ("assignments", self._assignments),
            "points": ("points", lambda value: self._table("points", value, _EXERCISE_NAMES, self._points)),
            "left_out": ("left_out", lambda value: self._names("left_out", value, _EXERCISE_NAMES)),
            "late": ("late", self._late),
        }
        fields = {name: read(content[key]) for key, (name, read) in readers.items() if key in content}
        assignments = [*PARTS_BY_NAME, *fields.get("assignments", ())]
        fields["full"] = self._table("full", content.get("full", {}), assignments, self._full)
        fields["due"] = self._table("due", content.get("due", {}), assignments, self._time)
        fields["extensions"] = self._extensions(content.get("extensions", {}), assignments)
        course = CourseFile(**fields)
        check_consistency(course, self._file)
        return course

    def _title(self, value: Any) -> str:
        if not isinstance(value, str) or not value.isprintable():
            raise self._takes_other(("title",), value)
        return value

    def _timezone(self, value: Any) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise self._takes_other(("timezone",), value) from None
        return str(value)

    def _late(self, value: Any) -> LateRule:
        kinds: dict[str, Callable[[KeyPath, Any], Any]] = {
            "penalty_per_day": self._amount,
            "flat": self._amount,
            "grace": lambda key, item: self._number(key, item, _MAX_MINUTES),
            "latest": lambda key, item: self._number(key, item, _MAX_DAYS),
            "max": self._amount,
        }
        self._is_table(("late",), value)
        self._known(("late",), value, list(kinds))
        return LateRule(**{key: kinds[key](("late", key), item) for key, item in value.items()})

    def _extensions(self, value: Any, assignments: Sequence[str]) -> dict[str, dict[str, Extension]]:
        self._is_table(("extensions",), value)
        read: dict[str, dict[str, Extension]] = {}
        for learner, item in value.items():
            key = ("extensions", learner)
            if isinstance(item, dict):
                self._extensions_are_by_assignment(key, item, assignments)
                read[learner] = {name: self._extension((*key, name), entry) for name, entry in item.items()}
            else:
                read[learner] = {EVERY: self._extension(key, item)}
        return read

    def _extensions_are_by_assignment(self, key: KeyPath, item: Mapping[str, Any], assignments: Sequence[str]) -> None:
        if unknown := next((name for name in item if name not in assignments), None):
            error = self._file.unknown((*key, unknown), assignments)
            hint = f'a name with a dot stands in quotes: "{key[-1]}.{unknown}" = 2'
            raise type(error)(f"{error}; {hint}")

    def _extension(self, key: KeyPath, value: Any) -> Extension:
        if isinstance(value, datetime):
            return self._time(key, value)
        return timedelta(days=self._number(key, value, _MAX_DAYS))

    def _assignments(self, value: Any) -> tuple[str, ...]:
        key = ("assignments",)
        if not isinstance(value, list):
            raise self._takes_other(key, value)
        taken = {name.lower() for name in PARTS_BY_NAME}
        for name in value:
            if not isinstance(name, str) or not _ASSIGNMENT.fullmatch(name):
                raise self._takes_other(key, name, element=True)
            if name.lower() in taken:
                raise self._file.error(key, f"has {name!r} twice, or it is the name of a part: leave it out", name)
            taken.add(name.lower())
        return tuple(value)

    def _names(self, key: str, value: Any, known: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._takes_other((key,), value)
        for name in value:
            if name not in known:
                close = nearest(name, known) if isinstance(name, str) else ""
                message = f"takes {', '.join(known)}, got {shown(name)}{close}"
                raise self._file.error((key,), message, name)
        return tuple(dict.fromkeys(value))

    def _table(
        self, key: str, value: Any, known: Sequence[str], read: Callable[[KeyPath, Any], _Value]
    ) -> dict[str, _Value]:
        self._is_table((key,), value)
        self._known((key,), value, known)
        return {name: read((key, name), item) for name, item in value.items()}

    def _is_table(self, key: KeyPath, value: Any) -> None:
        if not isinstance(value, dict):
            raise self._file.error(key, f"is a table: write its entries below [{key[-1]}], which stands there once")

    def _known(self, table: KeyPath, content: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in content:
            if name in known:
                continue
            key = (*table, name)
            if table and name in _ALL_KEYS:
                raise self._file.error(key, f"stands below [{table[-1]}]: write {name} above the first [table]")
            if tables := [] if table else _tables_with(name):
                raise self._file.error(key, f"is in no table: write it below {' or '.join(tables)}")
            error = self._file.unknown(key, known)
            further = (
                "; other assignments of yours are named in assignments" if table[:1] in (("full",), ("due",)) else ""
            )
            raise type(error)(f"{error}{further}")

    def _points(self, key: KeyPath, value: Any) -> float:
        return self._number(key, value, _MAX_POINTS)

    def _number(self, key: KeyPath, value: Any, most: float) -> float:
        if not _is_number(value) or not 0 <= value <= most:
            raise self._takes_other(key, value)
        return int(value) if value == int(value) else float(value)

    def _full(self, key: KeyPath, value: Any) -> float:
        if not _is_number(value) or not 0 < value <= _MAX_POINTS:
            raise self._takes_other(key, value)
        return float(value)

    def _amount(self, key: KeyPath, value: Any) -> Amount:
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())) and float(match[1]) <= 100:
            return Amount(float(match[1]), is_percent=True)
        if not _is_number(value) or not 0 <= value <= _MAX_POINTS:
            raise self._takes_other(key, value)
        return Amount(float(value))

    def _time(self, key: KeyPath, value: Any) -> datetime:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self._takes_other(key, value)
        if value.year not in _YEARS:
            raise self._file.error(key, f"takes a year from {_YEARS[0]} to {_YEARS[-1]}, got {value.year:04}")
        return value

    def _takes_other(self, key: KeyPath, value: Any, element: bool = False) -> Exception:
        """Return the error for a value, or an element of a list, that the key does not take."""
        return self._file.error(key, f"takes {_takes(key)}, got {shown(value)}", value if element else None)


def _tables_with(name: str) -> list[str]:
    """Return the tables that have an entry of a name."""
    tables = {"[late]": _LATE, "[points]": _EXERCISE_NAMES, "[due]": PARTS_BY_NAME, "[full]": PARTS_BY_NAME}
    return [table for table, names in tables.items() if name in names]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
