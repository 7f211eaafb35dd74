"""What a submission holds, as bytes by path: a folder, a zip, a tar or one notebook, none of which is trusted.

Nothing is unpacked to disk, no link is followed out of a submission, and no file, archive or total is read beyond a cap.
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
MOST_FILES = 20_000
DEEPEST = 24
LARGEST = {".py": MEGABYTE, NOTEBOOK: 50 * MEGABYTE}
LARGEST_TOTAL = 100 * MEGABYTE
LARGEST_ARCHIVE = 200 * MEGABYTE
LARGEST_LISTING = 4 * MEGABYTE
LARGEST_RATIO = 200

_IGNORED = {"__MACOSX", "__pycache__", "site-packages", "node_modules", "venv"}
_ANSWERS = {exercise.file for exercise in EXERCISES}
_ADVICE = f"hand in {' and '.join(f'{part.name}/' for part in PARTS)} and the notebooks alone"


class UnreadableSubmission(CourseError):
    """A submission that cannot be read; the message says why and what its author can do."""


@dataclass
class Source:
    """What could matter to grading in one submission.

    Attributes:
        files: bytes of each notebook and each file of Python that may hold an answer, by path.
        warnings: what was passed over, and why.
        archives: paths of archives inside, which are not opened.
    """

    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, path: PurePosixPath, file: IO[bytes]) -> None:
        """Read a file up to its cap.

        Raises:
            UnreadableSubmission: the whole submission is larger than its cap.
        """
        most = LARGEST[path.suffix]
        content = file.read(most + 1)
        if len(content) > most:
            self.warnings.append(f"{path} is larger than {most // MEGABYTE} MB and was not read")
            return
        if path in self.files:
            self.warnings.append(f"{path} is in the archive twice; the last one was read")
        self.files[path] = content
        self.size += len(content)
        if self.size > LARGEST_TOTAL:
            raise UnreadableSubmission(f"holds more than {LARGEST_TOTAL // MEGABYTE} MB of Python and notebooks")


def read_source(path: Path) -> Source:
    """Read what could matter to grading.

    Args:
        path: a folder, an archive or a notebook; a link to one is followed.

    Raises:
        UnreadableSubmission: it is none of these, is damaged, or is larger than the caps.
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
    except Exception as error:  # a damaged archive makes its reader fail in any of many ways
        raise UnreadableSubmission(f"is damaged: {type(error).__name__}: {error}") from error


def _matters(path: PurePosixPath) -> bool:
    """Whether a file may hold an answer."""
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
    below = PurePosixPath(root.name if root.name in PARTS_BY_NAME else "")
    for number, (path, entry) in enumerate(_walk(root, below, source)):
        if number >= MOST_FILES:
            raise UnreadableSubmission(f"holds more than {MOST_FILES} files: {_ADVICE}")
        if _is_archive(entry.name):
            source.archives.append(str(path))
        elif _matters(path):
            _add_file(source, path, Path(entry.path))
    return source


def _walk(folder: Path, below: PurePosixPath, source: Source) -> Iterator[tuple[PurePosixPath, os.DirEntry]]:
    """Every file of a folder, in one order everywhere; links are not followed."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        source.warnings.append(f"{below} cannot be opened: {error.strerror}")
        return
    for entry in entries:
        path = below / entry.name
        if _is_ignored(entry.name):
            continue
        if entry.is_symlink():
            if _matters(path) or entry.name in PARTS_BY_NAME:
                source.warnings.append(f"{path} is a link and was not followed")
        elif not entry.is_dir():
            yield path, entry
        elif len(path.parts) > DEEPEST:
            source.warnings.append(
                f"{'/'.join(path.parts[:3])}/... is nested deeper than {DEEPEST} folders; what lies below was not read"
            )
        else:
            yield from _walk(Path(entry.path), path, source)


def _add_file(source: Source, path: PurePosixPath, place: Path) -> None:
    try:
        # Neither a link put in place since, nor a pipe that never ends, is waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(place, flags), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                source.add(path, file)
            else:
                source.warnings.append(f"{path} is no ordinary file and was not read")
    except OSError as error:
        source.warnings.append(f"{path} cannot be read: {error.strerror}")


def _only_archive(folder: Path, source: Source) -> Source:
    """A folder that holds nothing but one archive, as learning platforms make them, stands for that archive."""
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
    if path.stat().st_size > LARGEST_ARCHIVE:
        raise UnreadableSubmission(f"is larger than {LARGEST_ARCHIVE // MEGABYTE} MB: {_ADVICE}")
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
    _refuse_long_listing(file)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MOST_FILES:
            raise UnreadableSubmission(f"holds more than {MOST_FILES} files: {_ADVICE}")
        for member in members:
            path = _path_inside(member.filename, source)
            if (
                path is not None
                and not member.is_dir()
                and _is_wanted(path, stat.S_ISLNK(member.external_attr >> 16), source)
            ):
                _add_member(source, path, archive, member)
    return source


def _refuse_long_listing(file: IO[bytes]) -> None:
    """Look at the size of a zip's listing before it is read whole.

    Raises:
        UnreadableSubmission: it is as long as only an attack's is.
    """
    file.seek(max(0, file.seek(0, os.SEEK_END) - 65_600))
    tail = file.read()
    # The end of the listing stands at the very end, or before a comment; zip64's, which such small archives do not need, before it.
    for end in (len(tail) - 22, tail.rfind(b"PK\x05\x06")):
        is_end = tail[max(0, end) :].startswith(b"PK\x05\x06")
        is_long = int.from_bytes(tail[end + 12 : end + 16], "little") > LARGEST_LISTING
        if is_end and (is_long or tail[:end][-20:].startswith(b"PK\x06\x07")):
            raise UnreadableSubmission(f"is a zip that lists too many files: {_ADVICE}")
    file.seek(0)


def _add_member(source: Source, path: PurePosixPath, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if member.flag_bits & 1:
        source.warnings.append(f"{path} is encrypted and was not read")
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        source.warnings.append(f"{path} is packed in an unusual way and was not read: make an ordinary zip")
    elif member.file_size > MEGABYTE and member.file_size > LARGEST_RATIO * member.compress_size:
        source.warnings.append(f"{path} unpacks to more than {LARGEST_RATIO} times its size and was not read")
    else:
        with archive.open(member) as file:
            source.add(path, file)


def _read_tar(file: IO[bytes]) -> Source:
    source = Source()
    with tempfile.TemporaryFile() as unpacked:
        _copy_capped(file, unpacked)
        with tarfile.open(fileobj=unpacked, mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_FILES:
                    raise UnreadableSubmission(f"holds more than {MOST_FILES} files: {_ADVICE}")
                path = _path_inside(member.name, source)
                if path is None or member.isdir() or not _is_wanted(path, member.islnk() or member.issym(), source):
                    continue
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    source.warnings.append(f"{path} is no ordinary file and was not read")
                else:
                    source.add(path, content)
    return source


def _copy_capped(file: IO[bytes], to: IO[bytes]) -> None:
    copied = 0
    while block := file.read(MEGABYTE):
        copied += to.write(block)
        if copied > LARGEST_ARCHIVE:
            raise UnreadableSubmission(f"unpacks to more than {LARGEST_ARCHIVE // MEGABYTE} MB: {_ADVICE}")
    to.seek(0)


def _path_inside(name: str, source: Source) -> PurePosixPath | None:
    """A member's path; None, and a warning, where it would lie outside of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        source.warnings.append(f"{name[:200]} would lie outside of the archive and was not read")
        return None
    return path


def _is_wanted(path: PurePosixPath, is_link: bool, source: Source) -> bool:
    """Whether a member is to be read; what is passed over and might be missed is noted."""
    if any(map(_is_ignored, path.parts)):
        return False
    if _is_archive(path.name):
        source.archives.append(str(path))
        return False
    if is_link and (_matters(path) or path.name in PARTS_BY_NAME):
        source.warnings.append(f"{path} is a link and was not followed")
        return False
    return _matters(path)
