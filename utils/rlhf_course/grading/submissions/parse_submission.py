"""From what a learner handed in to a `Submission`: which text answers which exercise."""

import codecs
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

_LONGEST_NAME = 120
_MOST_BESIDE = 4_000_000
_NOT_HANDED_IN = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class SubmissionPath:
    """One submission that is still to be read: where it lies and what reports call it."""

    name: str
    path: Path


def list_submissions(paths: Sequence[Path], each: bool) -> list[SubmissionPath]:
    """What there is to grade, each with a name of its own.

    Args:
        paths: submissions; with `each`, folders of submissions, in which everything but hidden files is one.

    Raises:
        CourseError: a path does not exist; with `each`, it is no folder or holds nothing.
    """
    for path in paths:
        if not path.exists():
            raise CourseError(f"{path} does not exist")
    if each:
        paths = [entry for path in paths for entry in _entries(path)]
    return [SubmissionPath(name, path) for name, path in zip(_names(paths), paths, strict=True)]


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CourseError(f"--each takes a folder of submissions, and {folder} is none")
    entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _NOT_HANDED_IN]
    if not entries:
        raise CourseError(f"{folder} holds no submission")
    return sorted(entries, key=lambda path: path.name)


def _names(paths: Sequence[Path]) -> list[str]:
    """A short name for each path; longer ones where the short ones are the same."""
    names = [_short_name(path) for path in paths]
    for longer in (lambda path: path.absolute().name, str):
        seen = Counter(names)
        names = [printable(longer(path)) if seen[name] > 1 else name for name, path in zip(names, paths, strict=True)]
    seen = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return names


def _short_name(path: Path) -> str:
    name = path.name if path.name not in ("", "..") else path.resolve().name
    ending = next(
        (ending for ending in (*ARCHIVES, NOTEBOOK) if name.lower().endswith(ending) and not path.is_dir()), ""
    )
    return printable(name[: len(name) - len(ending)] or name)[:_LONGEST_NAME]


def printable(text: str) -> str:
    """A stranger's text on one line, without what would command a terminal or turn the writing round."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def read_submission(submission: SubmissionPath, parts: Sequence[Part] = (DEFAULT_PART,)) -> Submission:
    """Read one submission; one that cannot be read holds no files, and its warning says why.

    Args:
        parts: the parts that it is to be graded on.
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
    """Return the text of each answer and of each file beside them, the warnings, and the other parts in the source."""
    warnings = list(source.warnings)
    cells = _cells(source, warnings)
    chosen_cells = {
        exercise.name: _one_of(exercise, cells[exercise.name], warnings)
        for part in parts
        for exercise in part.exercises
        if exercise.name in cells
    }
    files_of = {part.name: _files(source, part, warnings) for part in parts}
    if not (chosen_cells or any(files_of.values())):
        _warn_of_nothing(source, parts, warnings)
    elif source.archives:
        warnings.append(f"{source.archives[0]} is an archive inside the submission and was not opened")
    answers: dict[str, str] = {}
    for part in parts:
        files = files_of[part.name]
        for exercise in part.exercises:
            text = _chosen(exercise, files.pop(exercise.file, None), chosen_cells.get(exercise.name), warnings)
            if text is not None:
                files[exercise.file] = text
        answers |= {f"{part.name}/{name}": text for name, text in files.items()}
    return answers, warnings, _other_parts(source, cells, parts)


def _other_parts(source: Source, cells: Mapping[str, object], parts: Sequence[Part]) -> tuple[str, ...]:
    """Names of the parts that the source holds work of, and that are not graded."""
    folders = {name for path in source.files for name in path.parts[:-1]}
    return tuple(
        part.name
        for part in PARTS
        if part not in parts and (part.name in folders or any(exercise.name in cells for exercise in part.exercises))
    )


def _warn_of_nothing(source: Source, parts: Sequence[Part], warnings: list[str]) -> None:
    """Add the warning that a source holds no work, or refuse it where the work may be in an archive inside.

    Raises:
        UnreadableSubmission: it holds an archive.
    """
    wanted = f"no {' or '.join(f'{part.name}/' for part in parts)} and no %%exercise cell with work in it"
    if source.archives:
        raise UnreadableSubmission(
            f"holds {wanted}, but an archive inside ({source.archives[0]}): unpack it, or hand it in alone"
        )
    warnings.append(f"the submission holds {wanted}")


@dataclass(frozen=True)
class _Cell:
    """An exercise's cell: its text, and the notebook it is in."""

    text: str
    notebook: PurePosixPath


def _chosen(exercise: Exercise, file: str | None, cell: _Cell | None, warnings: list[str]) -> str | None:
    """The text to grade: the file's, or the cell's where the file is missing or untouched."""
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
    """The text of each Python file in the learner's folder of a part, by its path below it."""
    packages = _packages(source, part)
    if not packages:
        return {}
    chosen = min(packages, key=lambda folder: _reluctance(folder, packages[folder], part))
    if len(packages) > 1:
        others = ", ".join(str(folder) for folder in sorted(packages) if folder != chosen)
        warnings.append(f"several folders hold answers: {chosen} was graded, not {others}")
    if chosen.name != part.name:
        folder = "the top folder" if chosen == PurePosixPath() else chosen
        warnings.append(f"there is no {part.name}/; the answers were taken from {folder}")
    files = _portable(packages[chosen], part, warnings)
    return {name: _decoded(content, f"{chosen / name}", warnings) for name, content in files.items()}


def _portable(files: Mapping[str, bytes], part: Part, warnings: list[str]) -> dict[str, bytes]:
    """The files without `__init__.py`, which the course brings, and without what cannot lie beside an answer."""
    answers = {exercise.file for exercise in part.exercises}
    kept: dict[str, bytes] = {}
    for name, content in sorted(files.items(), key=lambda item: item[0] not in answers):
        if not name.isprintable() or "\\" in name:
            warnings.append(f"{name} has a name that not every system allows and was left out")
        elif name not in answers and sum(map(len, kept.values())) + len(content) > _MOST_BESIDE:
            warnings.append(f"{name} was left out: there are more than {_MOST_BESIDE // 1_000_000} MB of Python")
        elif name != "__init__.py":
            kept[name] = content
    return kept


def _packages(source: Source, part: Part) -> dict[PurePosixPath, dict[str, bytes]]:
    """The files of each folder with a part's name; where there is none, of each folder with one of its answers."""
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


def _reluctance(folder: PurePosixPath, files: Mapping[str, bytes], part: Part) -> tuple[bool, bool, int, PurePosixPath]:
    """A sort key of folders to take answers from: not the solutions', one that holds work, one near the top."""
    texts = {exercise: files.get(exercise.file) for exercise in part.exercises}
    has_work = any(
        text is not None and not is_stub(exercise, _decoded(text, "", [])) for exercise, text in texts.items()
    )
    return folder.parent.name == SOLUTIONS.name, not has_work, len(folder.parts), folder


_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CODING = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)([-\w.]+)")


def _decoded(content: bytes, place: str, warnings: list[str]) -> str:
    """A file's text, whatever it is encoded in, as Python would read it from UTF-8."""
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = _BYTE_ORDER_MARKS.get(mark) or _declared(content)
    try:
        text = content[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        text = content.decode("latin-1")
        warnings.append(f"{place} is not encoded in {encoding}; it was read as latin-1")
    if encoding == "utf-16-le" or encoding == "utf-16-be":
        warnings.append(f"{place} is encoded in UTF-16; Python itself reads UTF-8 alone")
    if "\0" in text:
        warnings.append(f"{place} holds null bytes, which Python refuses")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The text goes on as UTF-8: a declaration of anything else would be wrong from here.
    lines[:2] = [_CODING.sub(r"\1utf-8", line) for line in lines[:2]]
    return "\n".join(lines)


def _declared(content: bytes) -> str:
    """The encoding that a file declares as Python has it, in its first two lines; by default UTF-8."""
    try:
        return tokenize.detect_encoding(BytesIO(content).readline)[0]
    except (SyntaxError, ValueError):
        return "utf-8"


# Cells.

_MAGIC = re.compile(r"\s*%%exercise[ \t]+([^\s#]+)[^\n]*\n?")


def _cells(source: Source, warnings: list[str]) -> dict[str, list[_Cell]]:
    """The cells of each exercise that hold work, by the exercise's name."""
    found: dict[str, list[_Cell]] = {}
    for path in sorted(
        (path for path in source.files if path.suffix == NOTEBOOK), key=lambda path: (len(path.parts), path)
    ):
        for name, text in _exercise_cells(source.files[path], path, warnings):
            if not is_stub(BY_NAME[name], text):
                found.setdefault(name, []).append(_Cell(text, path))
    return found


def _one_of(exercise: Exercise, cells: Sequence[_Cell], warnings: list[str]) -> _Cell:
    """The last cell of the notebook that teaches the exercise, or of the first notebook that holds one."""
    home = next((cell.notebook for cell in cells if cell.notebook.stem == exercise.notebook), cells[0].notebook)
    chosen = [cell for cell in cells if cell.notebook == home][-1]
    if any(_lines(cell.text) != _lines(chosen.text) for cell in cells):
        warnings.append(f"{exercise.name}: {len(cells)} cells hold different answers; the last one in {home} counts")
    return chosen


def _exercise_cells(content: bytes, path: PurePosixPath, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each exercise's cell of a notebook, as far as it can be read."""
    try:
        cells = list(_code_cells(json.loads(content.decode("utf-8-sig"))))
    except (ValueError, RecursionError) as error:
        warnings.append(f"{path} is no readable notebook: {type(error).__name__}")
        return
    for text, metadata in cells:
        magic = _MAGIC.match(text)
        if magic is not None and magic[1] not in BY_NAME:
            warnings.append(f"{path} has a cell for {magic[1][:60]}, which is no exercise")
        elif magic is not None:
            yield magic[1], text[magic.end() :].rstrip("\n") + "\n"
        elif (name := _named_by(metadata)) and name in text:
            warnings.append(
                f"{name}: its cell in {path} has lost its first line, %%exercise {name}; it was read without"
            )
            yield name, text.rstrip("\n") + "\n"


def _code_cells(notebook: Any) -> Iterator[tuple[str, Any]]:
    """Text and metadata of each cell of code; what is not as a notebook has it is passed over."""
    if not isinstance(notebook, dict):
        raise ValueError("a notebook is an object")
    sheets = notebook.get("worksheets")
    for part in [notebook, *(sheets if isinstance(sheets, list) else [])]:
        cells = part.get("cells") if isinstance(part, dict) else None
        for cell in cells if isinstance(cells, list) else []:
            if isinstance(cell, dict) and cell.get("cell_type") == "code":
                text = cell.get("source", cell.get("input"))
                text = "".join(line for line in text if isinstance(line, str)) if isinstance(text, list) else text
                if isinstance(text, str):
                    yield _without_surrogates(text), cell.get("metadata")


def _named_by(metadata: Any) -> str | None:
    """The exercise that nbgrader's metadata names."""
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = marks.get("grade_id") if isinstance(marks, dict) else None
    name = grade_id.removeprefix("exercise-") if isinstance(grade_id, str) else ""
    return name if name in BY_NAME else None


def _without_surrogates(text: str) -> str:
    """JSON can spell halves of characters, which no file can hold."""
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
