"""Zips that are the same whenever they are made from the same files."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from rlhf_course.errors import CourseError

_LONG_AGO = (2020, 1, 1, 0, 0, 0)
_PROGRAM, _FILE = 0o755, 0o644


def write_zip(to: Path, files: Mapping[Path, bytes]) -> None:
    """Write files to a zip, in order of their paths; what begins as a script may be run.

    Raises:
        CourseError: the zip cannot be written.
    """
    try:
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(files):
                entry = zipfile.ZipInfo(path.as_posix(), _LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o100000 | (_PROGRAM if files[path].startswith(b"#!") else _FILE)) << 16
                archive.writestr(entry, files[path])
    except OSError as error:
        raise CourseError(f"{to} cannot be written: {error.strerror}") from error


def files_below(root: Path, *places: str) -> dict[Path, bytes]:
    """The files of a repository below some places, by path; what programs left there is passed over."""
    found = {}
    for place in places:
        chosen = [root / place] if (root / place).is_file() else sorted((root / place).rglob("*"))
        for path in chosen:
            below = path.relative_to(root)
            if path.is_file() and not any(
                part == "__pycache__" or part.startswith(".") or part.endswith(".egg-info") for part in below.parts
            ):
                found[below] = path.read_bytes()
    return found
