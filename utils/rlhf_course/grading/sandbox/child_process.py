"""Set up, restrict and wait for the forked processes that run answers; every isolation level uses these functions."""

import math
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rlhf_course.grading.limits import ResourceLimits

ChildMain = Callable[[Path], None]
"""A function that a sandboxed child calls; the argument is the child's home folder."""

_MAX_OPEN_FILES = 256


def close_other_fds(keep_fd: int) -> None:
    """Close every open file except one and the three standard streams."""
    os.closerange(3, keep_fd)
    os.closerange(keep_fd + 1, max(keep_fd + 1, os.sysconf("SC_OPEN_MAX")))


def redirect_stdio_to_devnull() -> None:
    """Redirect the standard streams to /dev/null, so that an answer's prints are discarded and fill no disk or pipe."""
    devnull = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(devnull, descriptor)
    os.close(devnull)


def set_uid(uid: int) -> None:
    """Set the user id and the group id of this process to one number, and leave every other group."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def set_home(home: Path) -> None:
    """Make a folder the working directory, the home and the folder for temporary files."""
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    tempfile.tempdir = None


def make_parent_of_homes() -> Path:
    """Return a new folder for the sandboxes' homes, and make it the home of this process, the zygote.

    Other users may pass through it, because a sandbox may run as another user, but may not list it.
    """
    folder = Path(tempfile.mkdtemp(prefix="rlhf-course-judge-"))
    folder.chmod(0o711)
    set_home(folder)
    return folder


def apply_rlimits(limits: ResourceLimits, limit_threads: bool) -> None:
    """Apply the limits of an answer to this process.

    Args:
        limits: The limits.
        limit_threads: Whether to limit the number of threads. The kernel counts them by user, so the limit works only
            if no other process runs as this user.
    """
    import resource  # Python on Windows has no such module.

    values = {
        "RLIMIT_AS": limits.memory_bytes + _mapped_bytes(),
        "RLIMIT_FSIZE": limits.disk_bytes,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_NOFILE": _MAX_OPEN_FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        **({"RLIMIT_NPROC": limits.threads} if limit_threads else {}),
    }
    for name, value in values.items():
        number = getattr(resource, name, None)
        if number is None:  # Systems other than Linux lack some of them.
            continue
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))


def _mapped_bytes() -> int:
    """Return the bytes of address space that this process has mapped; 0 if the system has no /proc/self/statm."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0


def run_and_exit(function: Callable[[], None]) -> NoReturn:
    """Call a function in a forked child and end the process, with exit code 1 if the function raised an exception."""
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_for_exit(pid: int, timeout: float | None = None) -> int | None:
    """Wait until a child of this process ends.

    Args:
        pid: The child's process id.
        timeout: Seconds to wait; None waits without limit.

    Returns:
        The exit code, or minus the number of the signal that ended the child; None if it still runs.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(pid, 0 if timeout is None else os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)
