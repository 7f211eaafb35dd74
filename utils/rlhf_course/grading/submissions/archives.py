"""Read the files of a submission, which is a folder, a zip, a tar or a notebook and is not trusted.

Nothing is unpacked to a path on disk, and no link inside a submission is followed. Files, archives and their sum are
read up to a maximum size. This code runs in the process of a `SubmissionReader`, whose limits hold for all of it.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from rlhf_course.course import PARTS, PARTS_BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.copied_names import answered_file

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
NOTEBOOK, PYTHON = ".ipynb", ".py"

MEGABYTE = 1_000_000
MAX_FILES = 20_000
MAX_DEPTH = 24
MAX_FILE_BYTES = {PYTHON: MEGABYTE, NOTEBOOK: 50 * MEGABYTE}
# What is unpacked in all, with files that turn out to be too large.
MAX_TOTAL_BYTES = 100 * MEGABYTE
MAX_ARCHIVE_BYTES = 200 * MEGABYTE
MAX_ZIP_DIRECTORY_BYTES = 4 * MEGABYTE
MAX_COMPRESSION_RATIO = 200
# The extended headers of a tar hold long names; honest ones have less than a kilobyte.
MAX_TAR_HEADER_BYTES = 32_000
# A folder of this many archives is no hand-in of one learner.
MAX_ARCHIVES = 10

_IGNORED = {"__MACOSX", "__pycache__", "site-packages", "node_modules", "venv"}
# Folders of a clone of the course whose files are not a learner's.
_OF_THE_COURSE = {"solutions", "tests", "utils", "recipes", "benchmarks"}
# A notebook that was exported as Python holds one of these marks, and is looked for down to this depth.
EXPORT_MARKS = (b"%%exercise", b"run_cell_magic('exercise'", b'run_cell_magic("exercise"')
_MAX_EXPORT_DEPTH = 3
_ADVICE = f"hand in only {' and '.join(f'{part.name}/' for part in PARTS)} and the notebooks"


class UnreadableSubmission(CourseError):
    """An error for a submission that cannot be read; the message says why, and what its author can do."""


@dataclass
class Source:
    """The files of one submission that may hold answers.

    Attributes:
        files: The bytes of each notebook and of each Python file that may hold an answer, by path.
        warnings: Messages about files that were not read, with the reason.
        unread: The paths of files, and links to folders, that may hold answers and were not read.
        archives: The paths of archives inside the submission, which are not opened.
        size: The bytes that were read, with those of files that turned out to be too large.
    """

    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    unread: list[PurePosixPath] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    size: int = 0

    def skip(self, path: PurePosixPath, reason: str) -> None:
        """Note that a path was not read.

        Args:
            path: The path inside the submission.
            reason: The end of a sentence whose subject is the path.
        """
        self.warnings.append(f"{path} {reason}")
        self.unread.append(path)

    def add(self, path: PurePosixPath, file: IO[bytes]) -> None:
        """Read a file, unless it is larger than the maximum for its suffix.

        Args:
            path: The path inside the submission.
            file: The open file.

        Raises:
            UnreadableSubmission: More than `MAX_TOTAL_BYTES` were read.
        """
        max_bytes = MAX_FILE_BYTES[path.suffix.lower()]
        content = file.read(max_bytes + 1)
        is_kept = not _is_export_at_most(path) or any(mark in content for mark in EXPORT_MARKS)
        self.size += len(content)
        if self.size > MAX_TOTAL_BYTES:
            raise UnreadableSubmission(f"holds more than {MAX_TOTAL_BYTES // MEGABYTE} MB of Python and notebooks")
        if not is_kept:
            return
        if len(content) > max_bytes:
            self.skip(path, f"is larger than {max_bytes // MEGABYTE} MB and was not read")
            return
        if path in self.files:
            self.warnings.append(f"{path} is in the archive twice; the last copy was read")
        self.files[path] = content


def read_source(path: Path) -> Source:
    """Read the files of a submission that may hold answers.

    Args:
        path: A folder, an archive, a notebook or a Python file, or a link to one of them.

    Raises:
        UnreadableSubmission: The path is none of these, is damaged, or is too large.
    """
    try:
        path = path.resolve(strict=True)
        if path.is_dir():
            return _with_only_archives(path, _read_folder(path))
        if path.suffix.lower() in (NOTEBOOK, PYTHON):
            return _read_one_file(path)
        source = Source()
        _read_archive(path, source, PurePosixPath())
        return source
    except (UnreadableSubmission, MemoryError):
        raise
    except OSError as error:
        raise UnreadableSubmission(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # A damaged archive may raise almost any exception in its reader.
        raise UnreadableSubmission(f"is damaged: {type(error).__name__}: {str(error)[:100]}") from error


def _may_hold_answer(path: PurePosixPath) -> bool:
    """Return whether a file is a notebook, a file below a part's folder, named like an answer, or maybe an export."""
    if path.suffix.lower() != PYTHON:
        return path.suffix.lower() == NOTEBOOK
    folders = path.parts[:-1]
    is_near = len(folders) < _MAX_EXPORT_DEPTH and _OF_THE_COURSE.isdisjoint(folders)
    return is_near or not _is_export_at_most(path)


def _is_export_at_most(path: PurePosixPath) -> bool:
    """Return whether a Python file can hold an answer only if it was exported from a notebook."""
    is_python = path.suffix.lower() == PYTHON
    return is_python and PARTS_BY_NAME.keys().isdisjoint(path.parts[:-1]) and answered_file(path.name) is None


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES + OTHER_ARCHIVES)


# Folders.


def _read_folder(root: Path) -> Source:
    source = Source()
    prefix = PurePosixPath(root.name if root.name in PARTS_BY_NAME else "")
    for number, (path, entry) in enumerate(_walk(root, prefix, source)):
        if number >= MAX_FILES:
            raise UnreadableSubmission(f"holds more than {MAX_FILES} files: {_ADVICE}")
        if _is_archive(entry.name):
            source.archives.append(str(path))
        elif _may_hold_answer(path):
            _add_file(source, path, Path(entry.path))
    return source


def _walk(folder: Path, prefix: PurePosixPath, source: Source) -> Iterator[tuple[PurePosixPath, "os.DirEntry[str]"]]:
    """Yield every file of a folder in the order of the names; links are not followed.

    Args:
        folder: The folder.
        prefix: The folder's path inside the submission.
        source: The source to which warnings are added.
    """
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        source.skip(prefix, f"cannot be opened: {error.strerror}")
        return
    for entry in entries:
        path = prefix / entry.name
        if _is_ignored(entry.name):
            continue
        if entry.is_symlink():
            if _may_hold_answer(path) or entry.name in PARTS_BY_NAME:
                source.skip(path, "is a link and was not followed")
        elif not entry.is_dir():
            yield path, entry
        elif len(path.parts) > MAX_DEPTH:
            source.warnings.append(_too_deep(path))
        else:
            yield from _walk(Path(entry.path), path, source)


def _add_file(source: Source, path: PurePosixPath, disk_path: Path) -> None:
    try:
        # With these flags, a link that has replaced the file is not followed, and a pipe does not block.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(disk_path, flags), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                source.add(path, file)
            else:
                source.skip(path, "is no regular file and was not read")
    except OSError as error:
        source.skip(path, f"cannot be read: {error.strerror}")


def _too_deep(path: PurePosixPath) -> str:
    return f"{'/'.join(path.parts[:3])}/... is nested deeper than {MAX_DEPTH} folders; nothing below it was read"


def _with_only_archives(folder: Path, source: Source) -> Source:
    """Read the archives of a folder that holds no other work, as in the exports of learning platforms.

    One archive is read as if it was handed in itself. The paths of several archives begin with their names.
    """
    readable = [name for name in source.archives if name.lower().endswith(ARCHIVES)]
    if source.files or not readable:
        return source
    if len(readable) > MAX_ARCHIVES:
        raise UnreadableSubmission(f"holds {len(readable)} archives: {_ADVICE}")
    found, source.archives = source.archives, []
    for name in readable:
        prefix = PurePosixPath(name if len(readable) > 1 else "")
        try:
            _read_archive(folder / name, source, prefix)
        except UnreadableSubmission as error:
            if len(found) == 1:
                raise
            source.skip(PurePosixPath(name), str(error))
    source.archives += [name for name in found if name not in readable]
    return source


def _read_one_file(path: Path) -> Source:
    source = Source()
    _add_file(source, PurePosixPath(path.name), path)
    return source


# Archives.


def _read_archive(path: Path, source: Source, prefix: PurePosixPath) -> None:
    """Add the files of an archive to a source, below a prefix.

    Raises:
        UnreadableSubmission: The path is no archive, is damaged, or is too large.
    """
    if not path.is_file():
        raise UnreadableSubmission("is no folder, archive, notebook or Python file")
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        raise UnreadableSubmission(f"is larger than {MAX_ARCHIVE_BYTES // MEGABYTE} MB: {_ADVICE}")
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        try:
            _read_opened_archive(file, head, source, prefix)
        except (UnreadableSubmission, OSError, MemoryError):
            raise
        except Exception as error:  # A damaged archive may raise almost any exception in its reader.
            raise UnreadableSubmission(f"is damaged: {type(error).__name__}: {str(error)[:100]}") from error


def _read_opened_archive(file: IO[bytes], head: bytes, source: Source, prefix: PurePosixPath) -> None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_zip(file, source, prefix)
    for magic, unpacker in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\0", lzma)):
        if head.startswith(magic):
            with unpacker.open(file) as unpacked:
                return _read_tar(unpacked, source, prefix)
    if head[257:262] == b"ustar":
        return _read_tar(file, source, prefix)
    raise UnreadableSubmission("is no folder, zip, tar or notebook: pack the folder as a zip")


def _read_zip(file: IO[bytes], source: Source, prefix: PurePosixPath) -> None:
    _refuse_long_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_FILES:
            raise UnreadableSubmission(f"holds more than {MAX_FILES} files: {_ADVICE}")
        for member in members:
            path = _path_inside(member.filename, prefix, source)
            if (
                path is not None
                and not member.is_dir()
                and _is_wanted(path, stat.S_ISLNK(member.external_attr >> 16), source)
            ):
                _add_member(source, path, archive, member)


def _refuse_long_directory(file: IO[bytes]) -> None:
    """Check the size of a zip's central directory before `zipfile` reads all of it.

    Raises:
        UnreadableSubmission: The directory is longer than that of any honest submission.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - 65_600))
    tail = file.read()
    # The end record is at the end of the file, unless a comment follows it. A zip64 locator may precede it, but an
    # archive as small as a submission needs none.
    for end in (len(tail) - 22, tail.rfind(b"PK\x05\x06")):
        is_end_record = tail[max(0, end) :].startswith(b"PK\x05\x06")
        is_long = int.from_bytes(tail[end + 12 : end + 16], "little") > MAX_ZIP_DIRECTORY_BYTES
        has_zip64_locator = tail[:end][-20:].startswith(b"PK\x06\x07")
        if is_end_record and (is_long or has_zip64_locator):
            raise UnreadableSubmission(f"is a zip that lists too many files: {_ADVICE}")
    file.seek(0)


def _add_member(source: Source, path: PurePosixPath, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if member.flag_bits & 1:
        source.skip(path, "is encrypted and was not read")
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        source.skip(path, "is compressed by an unusual method and was not read: make an ordinary zip")
    elif member.file_size > MEGABYTE and member.file_size > MAX_COMPRESSION_RATIO * member.compress_size:
        source.skip(path, f"unpacks to more than {MAX_COMPRESSION_RATIO} times its size and was not read")
    else:
        with archive.open(member) as file:
            source.add(path, file)


class _CheckedTarInfo(tarfile.TarInfo):
    """A member of a tar whose extended headers, which `tarfile` reads and parses as a whole, are not too long."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_CheckedTarInfo":
        """Return the member of a header block.

        Raises:
            UnreadableSubmission: It announces a longer header than any honest tar has.
        """
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENDED_HEADERS and member.size > MAX_TAR_HEADER_BYTES:
            raise UnreadableSubmission(f"is a tar with a header of more than {MAX_TAR_HEADER_BYTES // 1000} kB")
        return member


_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _read_tar(file: IO[bytes], source: Source, prefix: PurePosixPath) -> None:
    with tempfile.TemporaryFile() as unpacked:
        _copy_capped(file, unpacked)
        with tarfile.open(fileobj=unpacked, mode="r:", tarinfo=_CheckedTarInfo) as archive:
            for number, member in enumerate(archive):
                if number >= MAX_FILES:
                    raise UnreadableSubmission(f"holds more than {MAX_FILES} files: {_ADVICE}")
                path = _path_inside(member.name, prefix, source)
                if path is None or member.isdir() or not _is_wanted(path, member.islnk() or member.issym(), source):
                    continue
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    source.skip(path, "is no regular file and was not read")
                else:
                    source.add(path, content)


def _copy_capped(file: IO[bytes], target: IO[bytes]) -> None:
    copied = 0
    while block := file.read(MEGABYTE):
        copied += target.write(block)
        if copied > MAX_ARCHIVE_BYTES:
            raise UnreadableSubmission(f"unpacks to more than {MAX_ARCHIVE_BYTES // MEGABYTE} MB: {_ADVICE}")
    target.seek(0)


def _path_inside(name: str, prefix: PurePosixPath, source: Source) -> PurePosixPath | None:
    """Return the path of an archive's member; None, with a warning, if it leads out of the archive or is too deep."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        source.warnings.append(f"{name[:200]} would lie outside of the archive and was not read")
        return None
    if len(path.parts) > MAX_DEPTH + 1:
        source.warnings.append(_too_deep(path))
        return None
    return prefix / path


def _is_wanted(path: PurePosixPath, is_link: bool, source: Source) -> bool:
    """Return whether to read a member of an archive; a skipped link or archive is noted in the source."""
    if any(map(_is_ignored, path.parts)):
        return False
    if _is_archive(path.name):
        source.archives.append(str(path))
        return False
    if is_link and (_may_hold_answer(path) or path.name in PARTS_BY_NAME):
        source.skip(path, "is a link and was not followed")
        return False
    return _may_hold_answer(path)
