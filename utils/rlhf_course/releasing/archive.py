"""Write reproducible zip archives: the same files give the same bytes."""

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rlhf_course.errors import CourseError

# Every entry of a zip has a date; with the same date for all, equal files give equal bytes.
_DATE = (2020, 1, 1, 0, 0, 0)
_EXECUTABLE_MODE, _FILE_MODE = 0o755, 0o644


def write_zip(target: Path, files: Mapping[Path, bytes]) -> None:
    """Write files to a zip, in order of their paths; scripts, which begin with "#!", become executable.

    Raises:
        CourseError: The zip cannot be written.
    """
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(files):
                entry = zipfile.ZipInfo(path.as_posix(), _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                mode = _EXECUTABLE_MODE if files[path].startswith(b"#!") else _FILE_MODE
                entry.external_attr = (stat.S_IFREG | mode) << 16
                archive.writestr(entry, files[path])
    except OSError as error:
        raise CourseError(f"{target} cannot be written: {error.strerror}") from error


def files_below(root: Path, *selected: str) -> dict[Path, bytes]:
    """Read selected files and folders of a repository, without caches and hidden files.

    Args:
        root: The repository.
        selected: Files and folders, by their paths below the root.

    Returns:
        The content of each file, by its path below the root.
    """
    contents = {}
    for name in selected:
        for path in [root / name] if (root / name).is_file() else sorted((root / name).rglob("*")):
            below = path.relative_to(root)
            if path.is_file() and not any(map(_is_ignored, below.parts)):
                contents[below] = path.read_bytes()
    return contents


def _is_ignored(name: str) -> bool:
    return name == "__pycache__" or name.startswith(".") or name.endswith(".egg-info")
