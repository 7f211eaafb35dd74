"""Read a TOML file that a person wrote, with messages that name the line, the key, and what to write there."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError

_MAX_BYTES = 8_000_000
_MAX_SHOWN = 60
_HEADER = re.compile(r"\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(#.*)?")
_ASSIGNMENT = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.\s-])+?)\s*=\s*(.*)""")
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)\Z")

KeyPath = tuple[str, ...]
"""A key with the tables that it is in, such as `("late", "flat")`."""


@dataclass(frozen=True)
class TomlFile:
    """The content of a TOML file.

    Attributes:
        path: The file.
        content: The tables and values.
        text: The text, in which an entry's line is looked up.
    """

    path: Path
    content: Mapping[str, Any]
    text: str

    def error(self, key: KeyPath, message: str, entry: object = None) -> CourseError:
        """Return an error that names an entry and its line.

        Args:
            key: The entry's key.
            message: What is wrong; it continues the key.
            entry: The element of the entry's list that is wrong; None if the whole entry is.
        """
        line = _line_of(self.text.split("\n"), key, entry)
        return _error(self.path, line, f"{key_text(key)} {message}" if key else message)

    def element_error(self, name: str, number: int, message: str, field: str = "") -> CourseError:
        """Return an error that names a table of an array of tables, such as the second `[[comment]]`, and its line.

        Args:
            name: The name of the array.
            number: The number of the table; the first is 1.
            message: What is wrong; it continues the name and the number.
            field: The field of the table that is wrong; empty if the whole table is.
        """
        entries = list(_entries(self.text.split("\n")))
        headers = [index for index, (_, key, value) in enumerate(entries) if key == (name,) and value is None]
        if number > len(headers):
            return _error(self.path, None, f"{name} {number} {message}")
        start = headers[number - 1]
        end = headers[number] if number < len(headers) else len(entries)
        fields = (line for line, key, _ in entries[start:end] if field and key == (name, field))
        return _error(self.path, next(fields, entries[start][0]), f"{name} {number} {message}")

    def unknown(self, key: KeyPath, known: Iterable[str]) -> CourseError:
        """Return the error for a key that there is not, with the key that is probably meant."""
        return self.error(key, f"is unknown here{nearest(key[-1], known)}; allowed are {', '.join(known)}")


def read_toml(path: Path, takes: Callable[[KeyPath], str]) -> TomlFile:
    """Read a TOML file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        takes: Returns what a key takes, such as "a number", for a message on a line that is no TOML; empty if unknown.

    Raises:
        CourseError: The file cannot be read or is no TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}; name a file that can be read") from error
    return parse_toml(content, path, takes)


def parse_toml(content: bytes, path: Path, takes: Callable[[KeyPath], str]) -> TomlFile:
    """Parse the content of a TOML file; see `read_toml`."""
    if len(content) > _MAX_BYTES:
        raise CourseError(f"{path} has over {_MAX_BYTES // 1_000_000} MB: is it the right file? Make it smaller")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _error(path, line, "is not written in UTF-8: save the file in this encoding") from error
    try:
        return TomlFile(path, tomllib.loads(text + "\n"), text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error), takes) from error
    except (ValueError, RecursionError) as error:
        problem = "lists within lists within lists" if isinstance(error, RecursionError) else "a number too long"
        raise CourseError(f"{path} cannot be read: it holds {problem}; remove it") from error


def shown(value: object) -> str:
    """Return a value as a message shows it: as TOML has it, and not too long."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, date | time):
        text = value.isoformat()
    else:
        text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def key_text(key: KeyPath) -> str:
    """Return a key as a person writes it; a part with other signs than letters, digits, - and _ is in quotes."""
    parts = (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _quoted(part) for part in key)
    return ".".join(parts)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question such as ": did you mean title?" if a known name is close to a name; otherwise nothing."""
    by_plain = {_plain(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=0.7)
    return f": did you mean {by_plain[found[0]]}?" if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _quoted(text: str) -> str:
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return f'"{safe if len(safe) <= _MAX_SHOWN else safe[:_MAX_SHOWN] + " ..."}"'


def _error(path: Path, line: int | None, message: str) -> CourseError:
    return CourseError(f"{path}, line {line}: {message}" if line else f"{path}: {message}")


def _syntax_error(path: Path, text: str, message: str, takes: Callable[[KeyPath], str]) -> CourseError:
    """Return the error for a text that is no TOML, as a sentence on the entry of the line."""
    place = _PLACE.search(message)
    lines = text.split("\n")
    at_end = place is None or not place["line"]
    number = len(lines) if place is None or not place["line"] else min(int(place["line"]), len(lines))
    entries = list(_entries(lines[:number]))
    if (at_end or "Unclosed" in message) and entries:
        number = max((row for row, _, value in entries if value is not None), default=entries[-1][0])
        return _error(path, number, "a quotation mark or bracket that is opened here is not closed: close it")
    line = lines[number - 1].strip()
    key, value = next(((key, value) for row, key, value in entries if row == number), ((), ""))
    if message.startswith("Cannot") and key:
        earlier = _line_of(lines[: number - 1], key, None)
        first = f", first in line {earlier}" if earlier else ""
        return _error(path, number, f"{key_text(key)} is there twice{first}: keep one of them")
    if key and value is not None and (wanted := takes(key)):
        return _error(path, number, f"{key_text(key)} takes {wanted}, got {_cut(value) or 'nothing'}")
    left = line.partition("=")[0].strip()
    if not key and "=" in line and left:
        return _error(path, number, f"a name with such signs stands in quotes: write {_quoted(left)} = ...")
    if key and value is not None:
        return _error(
            path, number, f"{key_text(key)} has a value that is no TOML; texts stand in quotes, got {_cut(value)}"
        )
    return _error(path, number, f"takes an entry `key = value` or a table `[name]`, got {_cut(line)}")


def _cut(text: str) -> str:
    return _quoted(text)[1:-1]


def _line_of(lines: list[str], key: KeyPath, entry: object) -> int | None:
    """Return the line of an entry: that of its key, or of the table that it is in; of a list, that of an element.

    `tomllib` does not keep lines, so the keys are searched for.
    """
    found: int | None = None
    depth = 0
    for number, candidate, _ in _entries(lines):
        if candidate and key[: len(candidate)] == candidate and len(candidate) > depth:
            depth, found = len(candidate), number
    if entry is not None and found is not None:
        quoted = (f'"{entry}"', f"'{entry}'")
        elements = range(found, len(lines) + 1)
        found = next((row for row in elements if any(text in lines[row - 1] for text in quoted)), found)
    return found


def _entries(lines: list[str]) -> Iterator[tuple[int, KeyPath, str | None]]:
    """Yield the number of each line that begins an entry, its key, and its value; a table's header has no value."""
    table: KeyPath = ()
    end_of_text = ""
    for number, line in enumerate(lines, 1):
        if end_of_text:  # within a text of several lines
            end_of_text = "" if end_of_text in line else end_of_text
        elif header := _HEADER.fullmatch(line):
            table = _key_path(header[1])
            yield number, table, None
        elif assigned := _ASSIGNMENT.match(line):
            yield number, (*table, *_key_path(assigned[1])), assigned[2].strip()
            opened = next((mark for mark in ('"""', "'" * 3) if assigned[2].startswith(mark)), "")
            end_of_text = opened if opened and opened not in assigned[2][3:] else ""


def _key_path(key: str) -> KeyPath:
    """Return the parts of a dotted key, such as `late.flat` or `extensions."ada@example.org"`."""
    try:
        value: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return ()
    parts = []
    while isinstance(value, dict):
        if len(value) != 1:
            return ()
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)
