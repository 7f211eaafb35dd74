"""Parse a learner's files into a `Submission`: find the text that answers each exercise."""

import codecs
import json
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS, PARTS_BY_NAME, Exercise, Part
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.archives import ARCHIVES, NOTEBOOK, Source, UnreadableSubmission, read_source
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_stub

_MAX_NAME_LENGTH = 120
# The maximum size of all Python files beside the answers.
_MAX_HELPER_BYTES = 4_000_000
_SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class SubmissionPath:
    """A submission that has not been read yet.

    Attributes:
        name: The name of the submission in reports.
        path: The folder, archive or notebook.
    """

    name: str
    path: Path


def list_submissions(paths: Sequence[Path], each: bool) -> list[SubmissionPath]:
    """Return the submissions to grade, each with a name of its own.

    Args:
        paths: Submissions, or with `each` folders of submissions.
        each: Whether everything in the folders except hidden files is a submission.

    Raises:
        CourseError: A path does not exist; or, with `each`, it is not a folder or is empty.
    """
    for path in paths:
        if not path.exists():
            raise CourseError(f"{path} does not exist: name a folder, a zip, a tar or a notebook")
    if each:
        paths = [entry for path in paths for entry in _entries(path)]
    return [SubmissionPath(name, path) for name, path in zip(_names(paths), paths, strict=True)]


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CourseError(f"--each takes a folder of submissions, and {folder} is not a folder")
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _SYSTEM_FILES]
    if not entries:
        raise CourseError(f"{folder} holds no submission: with --each, name the folder above the submissions")
    return sorted(entries, key=lambda path: path.name)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each path, and a longer one for paths whose short names are equal."""
    names = [_short_name(path) for path in paths]
    longer_names: tuple[Callable[[Path], str], ...] = (lambda path: path.absolute().name, str)
    for longer_name in longer_names:
        count = Counter(names)
        pairs = zip(names, paths, strict=True)
        names = [printable(longer_name(path)) if count[name] > 1 else name for name, path in pairs]
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        seen[name] += 1
        names[index] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return names


def _short_name(path: Path) -> str:
    name = path.name if path.name not in ("", "..") else path.resolve().name
    suffixes = () if path.is_dir() else (*ARCHIVES, NOTEBOOK)
    suffix = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    return printable(name[: len(name) - len(suffix)] or name)[:_MAX_NAME_LENGTH]


def printable(text: str) -> str:
    """Return a text without line breaks, terminal escapes and characters that change the writing direction."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def read_submission(submission: SubmissionPath, parts: Sequence[Part] = (DEFAULT_PART,)) -> Submission:
    """Read one submission.

    Args:
        submission: The submission.
        parts: The parts that it will be graded on.

    Returns:
        The submission; without files, and with a warning that says why, if it cannot be read.
    """
    try:
        source = read_source(submission.path)
        files, warnings, other_parts = _answers(source, parts)
    except UnreadableSubmission as error:
        files, warnings, other_parts = {}, [f"the submission {error}"], ()
    return Submission(
        name=submission.name,
        files=files,
        warnings=tuple(printable(warning) for warning in warnings),
        parts=tuple(part.name for part in parts),
        other_parts=other_parts,
    )


def _answers(source: Source, parts: Sequence[Part]) -> tuple[dict[str, str], list[str], tuple[str, ...]]:
    """Parse a source.

    Returns:
        The text of each answer and of each file beside the answers, the warnings, and the names of other parts.
    """
    warnings = list(source.warnings)
    cells = _cells(source, warnings)
    chosen_cells = {
        exercise.name: _choose_cell(exercise, cells[exercise.name], warnings)
        for part in parts
        for exercise in part.exercises
        if exercise.name in cells
    }
    files_by_part = {part.name: _files(source, part, warnings) for part in parts}
    if not (chosen_cells or any(files_by_part.values())):
        _warn_of_no_work(source, parts, warnings)
    elif source.archives:
        warnings.append(f"{source.archives[0]} is an archive inside the submission and was not opened")
    answers: dict[str, str] = {}
    for part in parts:
        files = files_by_part[part.name]
        for exercise in part.exercises:
            text = _choose_text(exercise, files.pop(exercise.file, None), chosen_cells.get(exercise.name), warnings)
            if text is not None:
                files[exercise.file] = text
        answers |= {f"{part.name}/{name}": text for name, text in files.items()}
    return answers, warnings, _other_parts(source, cells, parts)


def _other_parts(source: Source, cells: Mapping[str, object], parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the names of the parts that are in the source but are not graded."""
    folders = {name for path in source.files for name in path.parts[:-1]}
    return tuple(
        part.name
        for part in PARTS
        if part not in parts and (part.name in folders or any(exercise.name in cells for exercise in part.exercises))
    )


def _warn_of_no_work(source: Source, parts: Sequence[Part], warnings: list[str]) -> None:
    """Add the warning that a source holds no work, unless the work may be in an archive inside.

    Raises:
        UnreadableSubmission: The source holds an archive.
    """
    missing = f"no {' or '.join(f'{part.name}/' for part in parts)} and no %%exercise cell with work in it"
    if source.archives:
        raise UnreadableSubmission(
            f"holds {missing}, but an archive inside ({source.archives[0]}): unpack it, or hand it in alone"
        )
    warnings.append(f"the submission holds {missing}")


@dataclass(frozen=True)
class _Cell:
    """The text of an exercise's cell, and the path of its notebook."""

    text: str
    notebook: PurePosixPath


def _choose_text(exercise: Exercise, file: str | None, cell: _Cell | None, warnings: list[str]) -> str | None:
    """Return the text to grade: the file's, or the cell's if the file is missing or an untouched stub."""
    if cell is None:
        return None if is_stub(exercise, file) else file
    if is_stub(exercise, file):
        if file is not None:
            warnings.append(
                f"{exercise.name}: {exercise.file} is the untouched stub; the cell in {cell.notebook} was graded"
            )
        return cell.text
    if _lines(file) != _lines(cell.text):
        warnings.append(f"{exercise.name}: {exercise.file} and the cell in {cell.notebook} differ; the file was graded")
    return file


def _lines(text: str | None) -> list[str]:
    return [line.rstrip() for line in (text or "").strip().splitlines()]


# Files.


def _files(source: Source, part: Part, warnings: list[str]) -> dict[str, str]:
    """Return the text of each Python file in the learner's folder of a part, by its path below that folder."""
    packages = _packages(source, part)
    if not packages:
        return {}
    chosen = min(packages, key=lambda folder: _preference(folder, packages[folder], part))
    if len(packages) > 1:
        others = ", ".join(str(folder) for folder in sorted(packages) if folder != chosen)
        warnings.append(f"several folders hold answers: {chosen} was graded, not {others}")
    if chosen.name != part.name:
        folder = "the top folder" if chosen == PurePosixPath() else chosen
        warnings.append(f"there is no {part.name}/; the answers were taken from {folder}")
    files = _portable_files(packages[chosen], part, warnings)
    return {name: _decode(content, f"{chosen / name}", warnings) for name, content in files.items()}


def _portable_files(files: Mapping[str, bytes], part: Part, warnings: list[str]) -> dict[str, bytes]:
    """Return the files that can be written beside an answer, without `__init__.py`, which the course provides."""
    answers = {exercise.file for exercise in part.exercises}
    portable: dict[str, bytes] = {}
    for name, content in sorted(files.items(), key=lambda item: item[0] not in answers):
        if not name.isprintable() or "\\" in name:
            warnings.append(f"{name} has a name that not every system allows and was left out")
        elif name not in answers and sum(map(len, portable.values())) + len(content) > _MAX_HELPER_BYTES:
            warnings.append(f"{name} was left out: there are more than {_MAX_HELPER_BYTES // 1_000_000} MB of Python")
        elif name != "__init__.py":
            portable[name] = content
    return portable


def _packages(source: Source, part: Part) -> dict[PurePosixPath, dict[str, bytes]]:
    """Return the files of each folder named like the part; if there is none, of each folder that holds an answer."""
    answers = {exercise.file for exercise in part.exercises}
    named: dict[PurePosixPath, dict[str, bytes]] = {}
    unnamed: dict[PurePosixPath, dict[str, bytes]] = {}
    for path, content in source.files.items():
        if path.suffix != ".py":
            continue
        package = next((parent for parent in path.parents if parent.name in PARTS_BY_NAME), None)
        if package is None and path.name in answers:
            unnamed.setdefault(path.parent, {})[path.name] = content
        elif package is not None and package.name == part.name:
            named.setdefault(package, {})[str(path.relative_to(package))] = content
    return named or unnamed


def _preference(folder: PurePosixPath, files: Mapping[str, bytes], part: Part) -> tuple[bool, bool, int, PurePosixPath]:
    """Return a sort key for the folders of answers.

    Folders outside `solutions/` come first, then folders with work in them, then folders near the top.
    """
    texts = {exercise: files.get(exercise.file) for exercise in part.exercises}
    has_work = any(
        text is not None and not is_stub(exercise, _decode(text, "", [])) for exercise, text in texts.items()
    )
    return folder.parent.name == SOLUTIONS.name, not has_work, len(folder.parts), folder


_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CODING = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)([-\w.]+)")


def _decode(content: bytes, name: str, warnings: list[str]) -> str:
    """Return the text of a file in any encoding, with line feeds as line ends and declared as UTF-8."""
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = _BYTE_ORDER_MARKS.get(mark) or _declared_encoding(content)
    try:
        text = content[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        text = content.decode("latin-1")
        warnings.append(f"{name} is not encoded in {encoding}; it was read as latin-1")
    if encoding == "utf-16-le" or encoding == "utf-16-be":
        warnings.append(f"{name} is encoded in UTF-16, which Python itself cannot read: save it as UTF-8")
    if "\0" in text:
        warnings.append(f"{name} holds null bytes, so Python cannot import it")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The text will be written in UTF-8, so a declaration of another encoding would be wrong.
    lines[:2] = [_CODING.sub(r"\1utf-8", line) for line in lines[:2]]
    return "\n".join(lines)


def _declared_encoding(content: bytes) -> str:
    """Return the encoding that a Python file declares in its first two lines; UTF-8 if it declares none."""
    try:
        return tokenize.detect_encoding(BytesIO(content).readline)[0]
    except (SyntaxError, ValueError):
        return "utf-8"


# Cells.

_MAGIC = re.compile(r"\s*%%exercise[ \t]+([^\s#]+)[^\n]*\n?")


def _cells(source: Source, warnings: list[str]) -> dict[str, list[_Cell]]:
    """Return the cells that hold work, by the name of their exercise."""
    cells: dict[str, list[_Cell]] = {}
    notebooks = [path for path in source.files if path.suffix == NOTEBOOK]
    for path in sorted(notebooks, key=lambda path: (len(path.parts), path)):
        for name, text in _exercise_cells(source.files[path], path, warnings):
            if not is_stub(BY_NAME[name], text):
                cells.setdefault(name, []).append(_Cell(text, path))
    return cells


def _choose_cell(exercise: Exercise, cells: Sequence[_Cell], warnings: list[str]) -> _Cell:
    """Return the last cell of the notebook that teaches the exercise, or else of the first notebook with a cell."""
    notebook = next((cell.notebook for cell in cells if cell.notebook.stem == exercise.notebook), cells[0].notebook)
    chosen = [cell for cell in cells if cell.notebook == notebook][-1]
    if any(_lines(cell.text) != _lines(chosen.text) for cell in cells):
        warnings.append(
            f"{exercise.name}: {len(cells)} cells hold different answers; the last one in {notebook} was graded"
        )
    return chosen


def _exercise_cells(content: bytes, path: PurePosixPath, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the exercise's name and the text of each cell of a notebook that answers an exercise."""
    try:
        cells = list(_code_cells(json.loads(content.decode("utf-8-sig"))))
    except (ValueError, RecursionError) as error:
        warnings.append(f"{path} cannot be read as a notebook: {type(error).__name__}")
        return
    for text, metadata in cells:
        magic = _MAGIC.match(text)
        if magic is not None and magic[1] not in BY_NAME:
            warnings.append(f"{path} has a cell for {magic[1][:60]}, which is no exercise")
        elif magic is not None:
            yield magic[1], text[magic.end() :].rstrip("\n") + "\n"
        elif (name := _exercise_in_metadata(metadata)) and name in text:
            warnings.append(
                f"{name}: its cell in {path} has lost its first line, %%exercise {name}; it was read without that line"
            )
            yield name, text.rstrip("\n") + "\n"


def _code_cells(notebook: Any) -> Iterator[tuple[str, Any]]:
    """Yield the text and the metadata of each code cell; values that do not fit nbformat's schema are skipped."""
    if not isinstance(notebook, dict):
        raise ValueError("a notebook is an object")
    sheets = notebook.get("worksheets")
    for sheet in [notebook, *(sheets if isinstance(sheets, list) else [])]:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        for cell in cells if isinstance(cells, list) else []:
            if isinstance(cell, dict) and cell.get("cell_type") == "code":
                text = cell.get("source", cell.get("input"))
                text = "".join(line for line in text if isinstance(line, str)) if isinstance(text, list) else text
                if isinstance(text, str):
                    yield _without_surrogates(text), cell.get("metadata")


def _exercise_in_metadata(metadata: Any) -> str | None:
    """Return the exercise that nbgrader's metadata of a cell names."""
    fields = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = fields.get("grade_id") if isinstance(fields, dict) else None
    name = grade_id.removeprefix("exercise-") if isinstance(grade_id, str) else ""
    return name if name in BY_NAME else None


def _without_surrogates(text: str) -> str:
    """Replace lone surrogates, which JSON can contain but no UTF-8 file can, and normalise line ends."""
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
