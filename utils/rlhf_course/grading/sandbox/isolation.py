"""Define the isolation levels, and check that this machine supports a level."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from rlhf_course.errors import CourseError
from rlhf_course.grading.sandbox.readable_paths import first_exposed
from rlhf_course.paths import PACKAGE

Level = Literal["namespaces", "uid", "unsafe"]
LEVELS: tuple[Level, ...] = get_args(Level)

_ADVICE: dict[Level, str] = {
    "namespaces": (
        "it needs Linux 5.12 or later on x86_64 or aarch64, and either root with CAP_SYS_ADMIN or user namespaces for "
        "every user: `sysctl -w user.max_user_namespaces=10000`, on Ubuntu also "
        "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, in Docker `--privileged`. On macOS and Windows "
        "grade in a Linux virtual machine (WSL 2, Lima). Inside a container of your own, as root, try `--isolation uid`"
    ),
    "uid": (
        "it needs root on Linux, a Python that every user can read, and either a kernel with Landlock (5.13 or later) "
        "or hidden files that other users cannot read: `chmod -R go-rwx tests solutions`"
    ),
    "unsafe": "it needs a system that can fork: Linux, macOS, or WSL 2 on Windows",
}
_ADVICE_EXPOSED = (
    "make an environment that encloses neither the repository nor the secret, such as `python -m venv .venv` in the "
    "repository, and install the course there; or move the repository out of that folder"
)
_PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from rlhf_course.grading.sandbox.backends import probe
probe(sys.argv[2])
"""


class IsolationUnavailable(CourseError):
    """An error for an isolation level that this machine does not support; the message says why and what would help."""

    def __init__(self, level: Level, reason: str, advice: str = "") -> None:
        super().__init__(f"isolation {level!r} is not available here ({reason}): {advice or _ADVICE[level]}")


def parse_level(text: str) -> Level:
    """Return the isolation level with a name.

    Raises:
        CourseError: There is no such level.
    """
    for level in LEVELS:
        if text == level:
            return level
    raise CourseError(f"isolation must be one of {', '.join(LEVELS)}, got {text!r}")


def require_isolation(level: str) -> None:
    """Check, by running an empty sandbox, that submissions can be graded at an isolation level.

    Raises:
        CourseError: There is no such level.
        IsolationUnavailable: This machine does not support it, or answers could read the hidden tests.
    """
    known_level = parse_level(level)
    require_hidden(known_level)
    probe = subprocess.run(
        [sys.executable, "-I", "-c", _PROBE, str(PACKAGE.parent), known_level],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if probe.returncode != 0:
        raise IsolationUnavailable(known_level, last_line(probe.stderr))


def require_hidden(level: Level, files: Sequence[Path] = ()) -> None:
    """Check that no folder that an isolated answer may read encloses what it must not read.

    At the level `unsafe`, an answer may read all files anyway.

    Args:
        level: The isolation level.
        files: What is to be hidden beside the reference's answers and the hidden tests, such as the course's secret.

    Raises:
        IsolationUnavailable: Answers could read one of them.
    """
    exposed = None if level == "unsafe" else first_exposed(files)
    if exposed is not None:
        reason = f"answers may read {exposed[0]}, where Python or the course is installed, and {exposed[1]} is inside"
        raise IsolationUnavailable(level, reason, _ADVICE_EXPOSED)


def last_line(output: str) -> str:
    """Return the last line that a failed process wrote, at most 300 characters, or say that it wrote nothing."""
    lines = output.strip().splitlines()
    return lines[-1][:300] if lines else "the process ended without an error message"
