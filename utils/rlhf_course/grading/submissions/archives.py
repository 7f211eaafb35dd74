"""Read the files of a submission, which is a folder, a zip, a tar or a notebook and is not trusted.

Nothing is unpacked to a path on disk, and no link inside a submission is followed. Files, archives and their sum are
read up to a maximum size.
"""

import bz2
import gzip
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from rlhf_course.course import EXERCISES, PARTS, PARTS_BY_NAME
from rlhf_course.errors import CourseError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".txz", ".zst")
NOTEBOOK = ".ipynb"

MEGABYTE = 1_000_000
MAX_FILES = 20_000
MAX_DEPTH = 24
MAX_FILE_BYTES = {".py": MEGABYTE, NOTEBOOK: 50 * MEGABYTE}
MAX_TOTAL_BYTES = 100 * MEGABYTE
MAX_ARCHIVE_BYTES = 200 * MEGABYTE
MAX_ZIP_DIRECTORY_BYTES = 4 * MEGABYTE
MAX_COMPRESSION_RATIO = 200

_IGNORED = {"__MACOSX", "__pycache__", "site-packages", "node_modules", "venv"}
_ANSWERS = {exercise.file for exercise in EXERCISES}
_ADVICE = f"hand in only {' and '.join(f'{part.name}/' for part in PARTS)} and the notebooks"


class UnreadableSubmission(CourseError):
    """An error for a submission that cannot be read; the message says why, and what its author can do."""


@dataclass
class Source:
    """The files of one submission that may hold answers.

    Attributes:
        files: The bytes of each notebook and of each Python file that may hold an answer, by path.
        warnings: Messages about files that were not read, with the reason.
        archives: The paths of archives inside the submission, which are not opened.
        size: The bytes of all files together.
    """

    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, path: PurePosixPath, file: IO[bytes]) -> None:
        """Read a file, unless it is larger than the maximum for its suffix.

        Args:
            path: The path inside the submission.
            file: The open file.

        Raises:
            UnreadableSubmission: All files together are larger than `MAX_TOTAL_BYTES`.
        """
        max_bytes = MAX_FILE_BYTES[path.suffix]
        content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            self.warnings.append(f"{path} is larger than {max_bytes // MEGABYTE} MB and was not read")
            return
        if path in self.files:
            self.warnings.append(f"{path} is in the archive twice; the last copy was read")
        self.files[path] = content
        self.size += len(content)
        if self.size > MAX_TOTAL_BYTES:
            raise UnreadableSubmission(f"holds more than {MAX_TOTAL_BYTES // MEGABYTE} MB of Python and notebooks")


def read_source(path: Path) -> Source:
    """Read the files of a submission that may hold answers.

    Args:
        path: A folder, an archive or a notebook, or a link to one of them.

    Raises:
        UnreadableSubmission: The path is none of these, is damaged, or is too large.
    """
    try:
        path = path.resolve(strict=True)
        if path.is_dir():
            return _only_archive(path, _read_folder(path))
        if path.suffix.lower() == NOTEBOOK:
            return _read_notebook(path)
        return _read_archive(path)
    except UnreadableSubmission:
        raise
    except OSError as error:
        raise UnreadableSubmission(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # A damaged archive may raise almost any exception in its reader.
        raise UnreadableSubmission(f"is damaged: {type(error).__name__}: {error}") from error


def _may_hold_answer(path: PurePosixPath) -> bool:
    """Return whether a file is a notebook, a file below a part's folder, or named like an answer."""
    if path.suffix == ".py":
        return not PARTS_BY_NAME.keys().isdisjoint(path.parts[:-1]) or path.name in _ANSWERS
    return path.suffix == NOTEBOOK


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
        source.warnings.append(f"{prefix} cannot be opened: {error.strerror}")
        return
    for entry in entries:
        path = prefix / entry.name
        if _is_ignored(entry.name):
            continue
        if entry.is_symlink():
            if _may_hold_answer(path) or entry.name in PARTS_BY_NAME:
                source.warnings.append(f"{path} is a link and was not followed")
        elif not entry.is_dir():
            yield path, entry
        elif len(path.parts) > MAX_DEPTH:
            source.warnings.append(
                f"{'/'.join(path.parts[:3])}/... is nested deeper than {MAX_DEPTH} folders; nothing below it was read"
            )
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
                source.warnings.append(f"{path} is no regular file and was not read")
    except OSError as error:
        source.warnings.append(f"{path} cannot be read: {error.strerror}")


def _only_archive(folder: Path, source: Source) -> Source:
    """Return the files of the archive if a folder holds only an archive, as in the exports of learning platforms."""
    if source.files or len(source.archives) != 1:
        return source
    return _read_archive(folder / source.archives[0])


def _read_notebook(path: Path) -> Source:
    source = Source()
    _add_file(source, PurePosixPath(path.name).with_suffix(NOTEBOOK), path)
    return source


# Archives.


def _read_archive(path: Path) -> Source:
    if not path.is_file():
        raise UnreadableSubmission("is no folder, archive or notebook")
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        raise UnreadableSubmission(f"is larger than {MAX_ARCHIVE_BYTES // MEGABYTE} MB: {_ADVICE}")
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _read_zip(file)
        for magic, unpacker in ((b"\x1f\x8b", gzip), (b"BZh", bz2)):
            if head.startswith(magic):
                with unpacker.open(file) as unpacked:
                    return _read_tar(unpacked)
        if head[257:262] == b"ustar":
            return _read_tar(file)
    raise UnreadableSubmission("is no folder, zip, tar or notebook: pack the folder as a zip")


def _read_zip(file: IO[bytes]) -> Source:
    source = Source()
    _refuse_long_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_FILES:
            raise UnreadableSubmission(f"holds more than {MAX_FILES} files: {_ADVICE}")
        for member in members:
            path = _path_inside(member.filename, source)
            if (
                path is not None
                and not member.is_dir()
                and _is_wanted(path, stat.S_ISLNK(member.external_attr >> 16), source)
            ):
                _add_member(source, path, archive, member)
    return source


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
        source.warnings.append(f"{path} is encrypted and was not read")
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        source.warnings.append(f"{path} is compressed by an unusual method and was not read: make an ordinary zip")
    elif member.file_size > MEGABYTE and member.file_size > MAX_COMPRESSION_RATIO * member.compress_size:
        source.warnings.append(f"{path} unpacks to more than {MAX_COMPRESSION_RATIO} times its size and was not read")
    else:
        with archive.open(member) as file:
            source.add(path, file)


def _read_tar(file: IO[bytes]) -> Source:
    source = Source()
    with tempfile.TemporaryFile() as unpacked:
        _copy_capped(file, unpacked)
        with tarfile.open(fileobj=unpacked, mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_FILES:
                    raise UnreadableSubmission(f"holds more than {MAX_FILES} files: {_ADVICE}")
                path = _path_inside(member.name, source)
                if path is None or member.isdir() or not _is_wanted(path, member.islnk() or member.issym(), source):
                    continue
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    source.warnings.append(f"{path} is no regular file and was not read")
                else:
                    source.add(path, content)
    return source


def _copy_capped(file: IO[bytes], target: IO[bytes]) -> None:
    copied = 0
    while block := file.read(MEGABYTE):
        copied += target.write(block)
        if copied > MAX_ARCHIVE_BYTES:
            raise UnreadableSubmission(f"unpacks to more than {MAX_ARCHIVE_BYTES // MEGABYTE} MB: {_ADVICE}")
    target.seek(0)


def _path_inside(name: str, source: Source) -> PurePosixPath | None:
    """Return the path of an archive's member; None, with a warning, if it leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        source.warnings.append(f"{name[:200]} would lie outside of the archive and was not read")
        return None
    return path


def _is_wanted(path: PurePosixPath, is_link: bool, source: Source) -> bool:
    """Return whether to read a member of an archive; a skipped link or archive is noted in the source."""
    if any(map(_is_ignored, path.parts)):
        return False
    if _is_archive(path.name):
        source.archives.append(str(path))
        return False
    if is_link and (_may_hold_answer(path) or path.name in PARTS_BY_NAME):
        source.warnings.append(f"{path} is a link and was not followed")
        return False
    return _may_hold_answer(path)
