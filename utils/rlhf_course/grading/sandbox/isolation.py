"""How far a learner's code is kept apart from everything else, and what to do where that cannot be had."""

import subprocess
import sys
from typing import Literal, get_args

from rlhf_course.errors import CourseError
from rlhf_course.paths import PACKAGE

Level = Literal["namespaces", "uid", "unsafe"]
LEVELS: tuple[Level, ...] = get_args(Level)

_ADVICE = {
    "namespaces": (
        "it takes Linux 5.12 or later on x86_64 or aarch64, and either root with the right to make namespaces or user "
        "namespaces for everyone: `sysctl -w user.max_user_namespaces=10000`, on Ubuntu also "
        "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, in Docker `--privileged`. On macOS and Windows grade in a "
        "Linux virtual machine (WSL 2, Lima). Inside a container of your own, as root, `--isolation uid` may do"
    ),
    "uid": (
        "it takes root on Linux, and either a kernel with Landlock (5.13 or later) or files that others cannot read: "
        "`chmod -R go-rwx tests solutions`"
    ),
    "unsafe": "it takes a system that can fork: Linux, macOS, or WSL 2 on Windows",
}


class IsolationUnavailable(CourseError):
    """This machine does not give the isolation that was asked for; the message says what would."""

    def __init__(self, level: Level, reason: str) -> None:
        super().__init__(f"isolation {level!r} cannot be had here ({reason}): {_ADVICE[level]}")


def require(level: Level) -> None:
    """Ask that submissions can be graded at a level of isolation.

    Raises:
        IsolationUnavailable: they cannot.
    """
    if level not in LEVELS:
        raise CourseError(f"isolation takes {', '.join(LEVELS)}, got {level!r}")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from rlhf_course.grading.sandbox.backends import attempt; attempt(sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(PACKAGE.parent), level],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise IsolationUnavailable(level, reason_in(done.stderr))


def reason_in(traceback: str) -> str:
    """The last line of what a process that failed wrote, or that it wrote nothing."""
    lines = traceback.strip().splitlines()
    return lines[-1][:300] if lines else "the process that tried it died"
