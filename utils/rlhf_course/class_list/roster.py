"""Read the class lists that learning platforms export, and write them with the cells as they were."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.errors import CourseError

_DELIMITERS = ",;\t"
# How files of Excel and LibreOffice begin, the newer and the older ones.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass
class Roster:
    """A class list.

    Attributes:
        path: The file that it was read from.
        columns: The names of the columns, as the platform wrote them, which may be in any language.
        rows: The cells of each row. A row may have fewer cells than there are columns, or more.
        delimiter: The character between the cells.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]
    delimiter: str = ","

    def find(self, names: Iterable[str]) -> int | None:
        """Return the index of the column that has the first of the names that a column has; None if none has one.

        Upper and lower case are the same.

        Raises:
            CourseError: Several columns have that name.
        """
        columns = [_plain(column) for column in self.columns]
        found = next((_plain(name) for name in names if _plain(name) in columns), None)
        if found is None:
            return None
        if columns.count(found) > 1:
            raise CourseError(f"{self.path} has several columns {found!r}: rename all but one")
        return columns.index(found)

    def index(self, name: str) -> int:
        """Return the index of the column with a name.

        Raises:
            CourseError: There is no such column.
        """
        found = self.find([name])
        if found is None:
            raise CourseError(f"{self.path} has no column {name!r}; its columns are {self.listed_columns()}")
        return found

    def listed_columns(self) -> str:
        """Return the names of the columns for a message."""
        return ", ".join(column for column in self.columns if column)

    def add_column(self, name: str) -> int:
        """Add a column at the end, and return its index."""
        self.columns.append(name)
        return len(self.columns) - 1

    def cell(self, row: Sequence[str], index: int) -> str:
        """Return a cell of a row; empty if the row is too short."""
        return row[index] if index < len(row) else ""

    def write_cell(self, row: list[str], index: int, text: str) -> None:
        """Set a cell of a row."""
        row.extend([""] * (index + 1 - len(row)))
        row[index] = text


def read_roster(path: Path) -> Roster:
    """Read a class list, whose cells are separated by commas, semicolons or tabs, in any usual encoding.

    Raises:
        CourseError: The file cannot be read, or has no columns.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(_WORKBOOKS):
        raise CourseError(
            f"{path} is a workbook and no CSV: open it in the spreadsheet program and save it as CSV UTF-8"
        )
    try:
        text = _decoded(content)
        delimiter, rows = max(((delimiter, _rows(text, delimiter)) for delimiter in _DELIMITERS), key=_fit)
    except (UnicodeError, csv.Error) as error:
        raise CourseError(f"{path} cannot be read as a table ({error}): export it from the platform as CSV") from error
    if not rows or len(rows[0]) < 2:
        raise CourseError(f"{path} is not a table with columns: export it from the platform as CSV")
    return Roster(path, rows[0], rows[1:], delimiter)


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str = ",") -> str:
    """Return a table as CSV."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerows([columns, *rows])
    return file.getvalue()


def _decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16, or the encodings of Western European systems."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content:  # UTF-16 without a mark: the zeros stand at the odd places if the low byte comes first
        return content.decode("utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the cells of each line that is not empty; the line `sep=;`, which Excel writes, is left out."""
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    is_excel_line = bool(rows) and rows[0][0].lower().startswith("sep=") and len("".join(rows[0])) <= len("sep=;")
    return rows[1:] if is_excel_line else rows


def _fit(table: tuple[str, list[list[str]]]) -> tuple[int, int]:
    """Return how well a delimiter fits: in how many rows the cells are as many as the columns, and the columns."""
    _, rows = table
    width = len(rows[0]) if rows else 0
    return (sum(len(row) == width for row in rows) if width > 1 else 0), width


def _plain(name: str) -> str:
    return name.strip().lower()
