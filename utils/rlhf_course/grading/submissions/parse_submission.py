"""Parse a learner's files into a `Submission`: find the text that answers each exercise.

Only a `SubmissionReader` calls this on what learners hand in, in a process with limits.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS, PARTS_BY_NAME, Exercise, Part
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.archives import (
    ARCHIVES,
    EXPORT_MARKS,
    NOTEBOOK,
    PYTHON,
    Source,
    UnreadableSubmission,
    read_source,
)
from rlhf_course.grading.submissions.copied_names import answered_file, copy_number
from rlhf_course.grading.submissions.encodings import UnknownEncoding, decode_python
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_stub

_MAX_NAME_LENGTH = 120
# The maximum size of all Python files beside the answers.
_MAX_HELPER_BYTES = 4_000_000
# Files that systems and Gradescope put beside the submissions.
_SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini", "submission_metadata.json", "submission_metadata.yml"}
_MAX_WARNINGS, _MAX_WARNING_LENGTH = 50, 400
_MAX_NAMED_FILES = 10


@dataclass(frozen=True)
class SubmissionPath:
    """A submission that has not been read yet.

    Attributes:
        name: The name of the submission in reports.
        path: The folder, archive or notebook.
    """

    name: str
    path: Path


def list_submissions(paths: Sequence[Path], each: bool, assignment: str | None = None) -> list[SubmissionPath]:
    """Return the submissions to grade, each with a name of its own.

    Args:
        paths: Submissions, or with `each` folders of submissions.
        each: Whether everything in the folders except hidden files is a submission.
        assignment: With `each`, the name of a folder in each submission, such as that of an assignment in nbgrader's
            folder `submitted`: that folder is graded. Submissions without it are left out.

    Raises:
        CourseError: A path does not exist; or, with `each`, it is not a folder or is empty, or no submission holds the
            assignment; or there is an assignment without `each`.
    """
    if assignment is not None and not each:
        raise CourseError("--assignment names a folder in each submission of a folder: add --each")
    for path in paths:
        if not path.exists():
            raise CourseError(f"{path} does not exist: name a folder, a zip, a tar or a notebook")
    if each:
        paths = [entry for path in paths for entry in _entries(path)]
    named = [SubmissionPath(name, path) for name, path in zip(_names(paths), paths, strict=True)]
    return named if assignment is None else _of_assignment(named, assignment)


def _of_assignment(submissions: Sequence[SubmissionPath], assignment: str) -> list[SubmissionPath]:
    """Return the folders of an assignment in submissions, under the submissions' names."""
    folders = [SubmissionPath(submission.name, submission.path / assignment) for submission in submissions]
    found = [folder for folder in folders if folder.path.is_dir()]
    if not found:
        raise CourseError(f"no submission holds a folder {assignment}")
    return found


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
    suffixes = () if path.is_dir() else (*ARCHIVES, NOTEBOOK, PYTHON)
    suffix = next((suffix for suffix in suffixes if name.lower().endswith(suffix)), "")
    return printable(name[: len(name) - len(suffix)] or name)[:_MAX_NAME_LENGTH]


def printable(text: str) -> str:
    """Return a text without line breaks, terminal escapes and characters that change the writing direction."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def parse_submission(submission: SubmissionPath, parts: Sequence[Part] = (DEFAULT_PART,)) -> Submission:
    """Read one submission in this process.

    Args:
        submission: The submission.
        parts: The parts that it will be graded on.

    Returns:
        The submission; without files, and with a warning that says why, if it cannot be read.
    """
    try:
        source = read_source(submission.path)
        parsed = _parse(source, parts)
    except UnreadableSubmission as error:
        return unreadable_submission(submission, parts, str(error))
    return replace(
        parsed,
        name=submission.name,
        warnings=shortened_warnings(parsed.warnings),
        parts=tuple(part.name for part in parts),
    )


def unreadable_submission(submission: SubmissionPath, parts: Sequence[Part], reason: str) -> Submission:
    """Return a submission that cannot be read.

    Args:
        submission: The submission.
        parts: The parts that it would be graded on.
        reason: The end of a sentence whose subject is the submission.
    """
    return Submission(
        name=submission.name,
        files={},
        warnings=shortened_warnings([f"the submission {reason}"]),
        parts=tuple(part.name for part in parts),
        unreadable=tuple(exercise.name for part in parts for exercise in part.exercises),
    )


def shortened_warnings(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return the first warnings, each once, printable and shortened, and the number of further ones."""
    distinct = list(dict.fromkeys(printable(warning[:_MAX_WARNING_LENGTH]) for warning in warnings))
    further = [f"there are {len(distinct) - _MAX_WARNINGS} further warnings"] if len(distinct) > _MAX_WARNINGS else []
    return (*distinct[:_MAX_WARNINGS], *further)


def _parse(source: Source, parts: Sequence[Part]) -> Submission:
    """Parse a source into a submission without a name."""
    warnings = source.warnings
    cells = _cells(source)
    chosen_cells = {
        exercise.name: _choose_cell(exercise, cells[exercise.name], warnings)
        for part in parts
        for exercise in part.exercises
        if exercise.name in cells
    }
    files_by_part = {part.name: _files(source, part) for part in parts}
    if not (chosen_cells or any(files_by_part.values())):
        _warn_of_no_work(source, parts)
    elif source.archives:
        warnings.append(f"{source.archives[0]} is an archive inside the submission and was not opened")
    answers: dict[str, str] = {}
    unreadable: list[str] = []
    for part in parts:
        files = files_by_part[part.name]
        for exercise in part.exercises:
            text = _choose_text(exercise, files.pop(exercise.file, None), chosen_cells.get(exercise.name), warnings)
            if text is not None:
                files[exercise.file] = text
        missing = [exercise.name for exercise in part.exercises if exercise.file not in files]
        may_be_unread = [name for name in missing if _may_be_unread(BY_NAME[name], part, source)]
        unreadable += may_be_unread
        _warn_of_other_files(part, files, [name for name in missing if name not in may_be_unread], warnings)
        answers |= {f"{part.name}/{name}": text for name, text in files.items()}
    return Submission("", answers, tuple(warnings), (), _other_parts(source, cells, parts), tuple(unreadable))


def _may_be_unread(exercise: Exercise, part: Part, source: Source) -> bool:
    """Return whether a file or folder that was not read may hold the answer to an exercise."""
    return any(_may_answer(path, exercise, part) for path in source.unread)


def _may_answer(path: PurePosixPath, exercise: Exercise, part: Part) -> bool:
    suffix = path.suffix.lower()
    if suffix == NOTEBOOK:
        return path.stem == exercise.notebook or not any(other.has_notebook(path.stem) for other in PARTS)
    if suffix == PYTHON:
        return answered_file(path.name) == exercise.file
    return path.name == part.name or suffix in ARCHIVES


def _warn_of_other_files(part: Part, files: Mapping[str, str], missing: Sequence[str], warnings: list[str]) -> None:
    """Name the files of a part that answer no exercise, if an exercise is missing; one may be misnamed."""
    answers = {exercise.file for exercise in part.exercises}
    others = [name for name in files if name not in answers]
    if missing and others:
        warnings.append(
            f"{part.name}/ holds {_listed(others)}, named like no exercise, and there is no answer to "
            f"{_listed(missing)}"
        )


def _listed(names: Sequence[str]) -> str:
    further = [f"{len(names) - _MAX_NAMED_FILES} more"] if len(names) > _MAX_NAMED_FILES else []
    return ", ".join([*names[:_MAX_NAMED_FILES], *further])


def _other_parts(source: Source, cells: Mapping[str, object], parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the names of the parts of which the source holds work, but which are not graded."""
    return tuple(
        part.name for part in PARTS if part not in parts and (_has_work(source, part) or _has_cells(cells, part))
    )


def _has_work(source: Source, part: Part) -> bool:
    """Return whether a part's folder holds an answer that is not a stub as it was handed out."""
    exercises = {exercise.file: exercise for exercise in part.exercises}
    return any(
        part.name in path.parts[:-1]
        and path.name in exercises
        and not is_stub(exercises[path.name], _decoded_or_empty(content))
        for path, content in source.files.items()
    )


def _has_cells(cells: Mapping[str, object], part: Part) -> bool:
    return any(exercise.name in cells for exercise in part.exercises)


def _warn_of_no_work(source: Source, parts: Sequence[Part]) -> None:
    """Add the warning that a source holds no work, unless a warning already names what was not read.

    Raises:
        UnreadableSubmission: The work may be in an archive inside.
    """
    missing = f"no {' or '.join(f'{part.name}/' for part in parts)} and no %%exercise cell with work in it"
    if source.archives:
        raise UnreadableSubmission(
            f"holds {missing}, but an archive inside ({source.archives[0]}): unpack it, or hand it in alone"
        )
    if not source.unread:
        source.warnings.append(f"the submission holds {missing}")


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


def _files(source: Source, part: Part) -> dict[str, str]:
    """Return the text of each Python file in the learner's folder of a part, by its path below that folder."""
    packages = _packages(source, part)
    if not packages:
        return {}
    chosen = min(packages, key=lambda folder: _preference(folder, packages[folder], part))
    if len(packages) > 1:
        others = ", ".join(str(folder) for folder in sorted(packages) if folder != chosen)
        source.warnings.append(f"several folders hold answers: {chosen} was graded, not {others}")
    if chosen.name != part.name:
        folder = "the top folder" if chosen == PurePosixPath() else chosen
        source.warnings.append(f"there is no {part.name}/; the answers were taken from {folder}")
    files = {}
    for name, content in _portable_files(packages[chosen], part, source.warnings).items():
        try:
            files[name], problems = decode_python(content)
        except UnknownEncoding as error:
            source.skip(chosen / name, str(error))
        else:
            source.warnings += [f"{chosen / name} {problem}" for problem in problems]
    return _with_copies(files, part, source.warnings)


def _with_copies(files: dict[str, str], part: Part, warnings: list[str]) -> dict[str, str]:
    """Take the copy of an exercise's file, such as "get_logprobs (1).py", for the file if that is missing or a stub.

    Of several copies with work in them, the one with the highest number is the newest.
    """
    for exercise in part.exercises:
        copies = [name for name in files if name != exercise.file and answered_file(name) == exercise.file]
        texts = {name: text for name in copies if not is_stub(exercise, text := files.pop(name))}
        file = files.get(exercise.file)
        different = [name for name, text in texts.items() if _lines(text) != _lines(file)]
        if different and is_stub(exercise, file):
            newest = max(different, key=lambda name: (copy_number(name), name))
            files[exercise.file] = texts[newest]
            reason = "there is no such file" if file is None else "which is the untouched stub"
            others = [name for name in different if name != newest and _lines(texts[name]) != _lines(texts[newest])]
            others_note = f"; {_listed(others)} was not read" if others else ""
            warnings.append(f"{exercise.name}: {newest} was taken for {exercise.file}, {reason}{others_note}")
        elif different:
            warnings.append(f"{exercise.name}: {_listed(different)} was not read, since there is {exercise.file}")
    return files


def _portable_files(files: Mapping[str, bytes], part: Part, warnings: list[str]) -> dict[str, bytes]:
    """Return the files that can be written beside an answer, without `__init__.py`, which the course provides."""
    answers = {exercise.file for exercise in part.exercises}
    portable: dict[str, bytes] = {}
    for name, content in sorted(files.items(), key=lambda item: item[0] not in answers):
        if not name.isprintable() or "\\" in name or not name.lower().endswith(PYTHON):
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
        if path.suffix.lower() != PYTHON or _is_export(content):
            continue
        package = next((parent for parent in path.parents if parent.name in PARTS_BY_NAME), None)
        if package is None and answered_file(path.name) in answers:
            unnamed.setdefault(path.parent, {})[path.name] = content
        elif package is not None and package.name == part.name:
            named.setdefault(package, {})[str(path.relative_to(package))] = content
    return named or unnamed


def _preference(folder: PurePosixPath, files: Mapping[str, bytes], part: Part) -> tuple[bool, bool, int, PurePosixPath]:
    """Return a sort key for the folders of answers.

    Folders outside `solutions/` come first, then folders with work in them, then folders near the top.
    """
    exercises = {exercise.file: exercise for exercise in part.exercises}
    has_work = any(
        not is_stub(exercises[answered], _decoded_or_empty(content))
        for name, content in files.items()
        if (answered := answered_file(name)) in exercises
    )
    return folder.parent.name == SOLUTIONS.name, not has_work, len(folder.parts), folder


def _decoded_or_empty(content: bytes) -> str:
    try:
        return decode_python(content)[0]
    except UnknownEncoding:
        return ""


# Cells.

# Colab puts a line `# @title` above the magic.
_MAGIC = re.compile(r"(?:\s*+#[^\n]*+\n)*+\s*+%%exercise[ \t]+([^\s#]+)[^\n]*\n?")
# The first line of an exercise's cell in a notebook that Colab, jupytext or nbconvert exported as Python.
_EXPORTED_MAGIC = re.compile(r"^(?:# ?)?%%exercise[ \t]+(\w+)[^\n]*$", re.MULTILINE)
_EXPORTED_CALL = re.compile(r"^get_ipython\(\)\.run_cell_magic\(['\"]exercise['\"],[^\n]*$", re.MULTILINE)
# The first line after an exported cell: the mark of the next cell, a magic, or a call of the course's functions.
_CELL_END = re.compile(r"^(?:# %%|# In ?\[|# \+|[%!]|(?:get_ipython|check|hint|progress|solution)\()", re.MULTILINE)


def _cells(source: Source) -> dict[str, list[_Cell]]:
    """Return the cells that hold work, by the name of their exercise."""
    cells: dict[str, list[_Cell]] = {}
    notebooks = [path for path in source.files if path.suffix.lower() == NOTEBOOK]
    exports = [path for path, content in source.files.items() if path.suffix.lower() == PYTHON and _is_export(content)]
    for paths, read in ((notebooks, _exercise_cells), (exports, _exported_cells)):
        for path in sorted(paths, key=lambda path: (len(path.parts), path)):
            for name, text in read(source.files[path], path, source):
                if not is_stub(BY_NAME[name], text):
                    cells.setdefault(name, []).append(_Cell(text, path))
    return cells


def _is_export(content: bytes) -> bool:
    """Return whether a Python file was exported from a notebook of the course."""
    if not any(mark in content for mark in EXPORT_MARKS):
        return False
    text = _decoded_or_empty(content)
    return any(match[1] in BY_NAME for match in _EXPORTED_MAGIC.finditer(text)) or bool(_EXPORTED_CALL.search(text))


def _exported_cells(content: bytes, path: PurePosixPath, source: Source) -> Iterator[tuple[str, str]]:
    """Yield the exercise's name and the text of each exercise's cell in a notebook that was exported as Python."""
    text = _decoded_or_empty(content)
    for match in _EXPORTED_MAGIC.finditer(text):
        if match[1] in BY_NAME:
            start = match.end() + 1
            end = _CELL_END.search(text, start)
            yield match[1], _without_later_statements(text[start : end.start() if end else len(text)], match[1])
    for call in _EXPORTED_CALL.finditer(text):
        try:
            arguments = [ast.literal_eval(node) for node in ast.parse(call[0]).body[0].value.args]  # type: ignore[attr-defined]
            _, name, body = arguments
        except (SyntaxError, ValueError, AttributeError, IndexError, RecursionError):
            source.skip(path, "has an exported cell that cannot be read")
            continue
        name = str(name).split()[0] if str(name).split() else ""
        if name in BY_NAME and isinstance(body, str):
            yield name, _without_surrogates(body)


def _without_later_statements(text: str, name: str) -> str:
    """Return an exported cell without the later cells: Colab's export has no mark between cells.

    After the exercise's definition, the first statement that is only an expression, such as a text cell or a call,
    belongs to a later cell.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return text.rstrip("\n") + "\n"
    is_defined = False
    for statement in statements:
        is_defined |= getattr(statement, "name", None) == name
        if is_defined and isinstance(statement, ast.Expr):
            text = "\n".join(text.split("\n")[: statement.lineno - 1])
            break
    return text.rstrip("\n") + "\n"


def _choose_cell(exercise: Exercise, cells: Sequence[_Cell], warnings: list[str]) -> _Cell:
    """Return the last cell of the notebook that teaches the exercise, or else of the first notebook with a cell."""
    notebook = next((cell.notebook for cell in cells if cell.notebook.stem == exercise.notebook), cells[0].notebook)
    chosen = [cell for cell in cells if cell.notebook == notebook][-1]
    if any(_lines(cell.text) != _lines(chosen.text) for cell in cells):
        warnings.append(
            f"{exercise.name}: {len(cells)} cells hold different answers; the last one in {notebook} was graded"
        )
    return chosen


def _exercise_cells(content: bytes, path: PurePosixPath, source: Source) -> Iterator[tuple[str, str]]:
    """Yield the exercise's name and the text of each cell of a notebook that answers an exercise."""
    warnings = source.warnings
    try:
        cells = list(_code_cells(json.loads(content.decode("utf-8-sig"))))
    except (ValueError, RecursionError) as error:
        source.skip(path, f"cannot be read as a notebook: {type(error).__name__}")
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
