"""List the files that a sandbox may read."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf_course.paths import CHECKS, HIDDEN_TESTS, PACKAGE, SOLUTIONS

DEVICES = tuple(Path("/dev") / name for name in ("null", "zero", "urandom", "random"))
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/sys/devices/system/cpu")


def readable_paths(additional: Sequence[str] = ()) -> list[Path]:
    """Return the existing paths that a sandbox may read: Python, its packages, system libraries and the given code.

    The expected outputs of the visible checks, in `checks/<part>/data/`, are left out, because no answer needs them.

    Args:
        additional: Further files or folders to include.
    """
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    given = [path for path in PACKAGE.iterdir() if path != CHECKS]
    given += [path for path in CHECKS.iterdir() if path.is_file()]
    given += [path for part in CHECKS.iterdir() if part.is_dir() for path in part.iterdir() if path.name != "data"]
    paths = [Path(name) for name in (*python, *_SYSTEM, *additional)]
    paths += [path for path in given if path.name != "__pycache__"]
    return [path for path in paths if path.exists()]


def first_exposed(hidden: Sequence[Path] = ()) -> tuple[Path, Path] | None:
    """Return a readable path that encloses something that no answer may read, as `python -m venv .` makes one.

    Args:
        hidden: Files and folders to hide beside the reference's answers and the hidden tests.

    Returns:
        The readable path, and what it encloses; None if everything is hidden.
    """
    readable = [(path, path.resolve()) for path in readable_paths()]
    for secret in (SOLUTIONS, HIDDEN_TESTS, *hidden):
        real = secret.resolve()
        for path, root in readable:
            if secret.exists() and real.is_relative_to(root):
                return path, secret
    return None
