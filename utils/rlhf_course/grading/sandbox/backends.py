"""Shutting a process in: what the levels of isolation share, and the two that are weaker than namespaces.

A level first *prepares* the zygote, before it loads anything, and then *spawns* children of it. Both happen in processes
of their own: nothing here changes the one that judges.
"""

import contextlib
import math
import os
import platform
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.paths import CHECKS, PACKAGE, REPOSITORY

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/sys/devices/system/cpu")
DEVICES = tuple(Path("/dev") / name for name in ("null", "zero", "urandom", "random"))

Run = Callable[[Path], None]


@dataclass(frozen=True)
class Bounds:
    """What a sandbox may use, in the kernel's terms.

    Attributes:
        memory: bytes of address space, beyond what the zygote has mapped.
        disk: bytes of its own folder.
        cpu: seconds of processor time.
        threads: at once.
        readable: folders that it may read beside Python and the package.
    """

    memory: int = 2**31
    disk: int = 2**24
    cpu: int = 120
    threads: int = 64
    readable: tuple[str, ...] = ()


class SandboxBackend(Protocol):
    """A level of isolation."""

    def prepare(self) -> None:
        """Make the zygote ready to spawn.

        Raises:
            OSError: this machine does not give the level.
        """

    def spawn(self, run: Run, keep: int) -> int:
        """Fork a child that shuts itself in and calls `run` with a folder of its own; of the open files it keeps one.

        Returns: the process to `end`.
        """

    def end(self, pid: int, patience: float) -> int | None:
        """Kill a spawned process and all that it started, and wait until they are gone.

        Args:
            patience: seconds to let it end by itself.

        Returns: its exit code, or minus the signal that ended it; None where it had to be killed.
        """

    def close(self) -> None:
        """Leave no folder behind."""


class UidSandbox:
    """A user of its own inside someone else's container; the kernel refuses it others' files, processes and sockets."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._users = Users()
        self._homes: dict[int, Path] = {}

    def prepare(self) -> None:
        """Ask that there are users to become, and that the kernel or their modes keep files from them."""
        linux_syscalls.require_known_processor()
        if not self._users.own:
            raise PermissionError("this process is not root")
        if path := _closed_to_others([*sys.path, sys.base_prefix]):
            raise PermissionError(f"other users cannot read {path}, where Python is")
        self._landlock = linux_syscalls.has_landlock()
        if not self._landlock and (path := _open_to_all()):
            raise PermissionError(f"every user can read {path}, and this kernel has no Landlock")
        self._folder = _folder_of_folders()

    def spawn(self, run: Run, keep: int) -> int:
        """See `SandboxBackend`."""
        user = self._users.next()
        home = Path(tempfile.mkdtemp(dir=self._folder))
        os.chown(home, user, user)
        child = os.fork()
        if child == 0:
            without_return(lambda: self._be_learner(run, keep, user, home))
        self._homes[child] = home
        return child

    def _be_learner(self, run: Run, keep: int, user: int, home: Path) -> None:
        close_all_but(keep)
        linux_syscalls.forgo_rights()
        become(user)
        linux_syscalls.die_with_parent()
        settle(home, self._bounds, own_user=True)
        linux_syscalls.drop_rights()
        silence()
        if self._landlock:
            linux_syscalls.landlock([*readable_paths(self._bounds.readable), Path("/proc")], [home, *DEVICES])
        linux_syscalls.refuse_system_calls()
        run(home)

    def end(self, pid: int, patience: float) -> int | None:
        """See `SandboxBackend`. The kernel let it start no other process, so that it is all there is."""
        code = wait_for(pid, patience)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            wait_for(pid)
        shutil.rmtree(self._homes.pop(pid), ignore_errors=True)
        return code

    def close(self) -> None:
        """See `SandboxBackend`."""
        shutil.rmtree(self._folder, ignore_errors=True)


class NoSandbox:
    """A process with limits and a deadline, as the user who grades: for code that is trusted."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._homes: dict[int, Path] = {}

    def prepare(self) -> None:
        """Ask that this system can fork."""
        if not hasattr(os, "fork"):
            raise OSError(f"{platform.system()} cannot fork")
        self._folder = _folder_of_folders()

    def spawn(self, run: Run, keep: int) -> int:
        """See `SandboxBackend`."""
        home = Path(tempfile.mkdtemp(dir=self._folder))
        child = os.fork()
        if child == 0:
            without_return(lambda: self._be_learner(run, keep, home))
        self._homes[child] = home
        return child

    def _be_learner(self, run: Run, keep: int, home: Path) -> None:
        close_all_but(keep)
        settle(home, self._bounds, own_user=False)
        silence()
        run(home)

    def end(self, pid: int, patience: float) -> int | None:
        """See `SandboxBackend`. What has left the group of the process is not found."""
        code = wait_for(pid, patience)
        with contextlib.suppress(ProcessLookupError):  # nobody is left, or it has not settled yet
            os.killpg(pid, signal.SIGKILL)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            wait_for(pid)
        shutil.rmtree(self._homes.pop(pid), ignore_errors=True)
        return code

    def close(self) -> None:
        """See `SandboxBackend`."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _folder_of_folders() -> Path:
    """A folder for the zygote and, below it, for its sandboxes, which may be other users; the zygote lives in it."""
    folder = Path(tempfile.mkdtemp(prefix="rlhf-course-judge-"))
    folder.chmod(0o711)
    live_in(folder)
    return folder


def sandbox_backend(level: str, bounds: Bounds) -> SandboxBackend:
    """What makes a level of isolation."""
    from rlhf_course.grading.sandbox.namespaces import NamespaceSandbox

    return {"namespaces": NamespaceSandbox, "uid": UidSandbox, "unsafe": NoSandbox}[level](bounds)


def attempt(level: str) -> None:
    """Make this process a zygote that spawns one child at a level; an exception says what hindered it."""
    here = sandbox_backend(level, Bounds())
    here.prepare()
    receiver, sender = socket.socketpair()
    pid = here.spawn(lambda home: sender.sendall(b"in"), sender.fileno())
    sender.close()
    said = receiver.recv(2)
    code = here.end(pid, patience=1)
    here.close()
    if said != b"in":
        raise OSError(f"the sandbox ended with {code}")


class Users:
    """User ids that belong to nobody, one for each sandbox in turn."""

    _AT_ONCE = 512

    def __init__(self) -> None:
        self._half = min(2**31, _mapped_users()) // 2
        self._first = self._half + secrets.randbelow(max(1, self._half - self._AT_ONCE))
        self._count = 0

    @property
    def own(self) -> bool:
        """Whether this process can become one of them."""
        return hasattr(os, "geteuid") and os.geteuid() == 0 and self._half >= 2**15

    def next(self) -> int:
        """The next one."""
        self._count += 1
        return self._first + self._count % self._AT_ONCE


def _mapped_users() -> int:
    """How many user ids there are where this process is."""
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[2]) for line in lines if line.split()[0] == "0"), default=0)


def readable_paths(more: Sequence[str] = ()) -> list[Path]:
    """Everything a sandbox may read: Python and its packages, system libraries, the given code of the course."""
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    # No answer needs the expected outputs of the visible checks, in `checks/<part>/data/`.
    given = [path for path in PACKAGE.iterdir() if path != CHECKS]
    given += [path for path in CHECKS.iterdir() if path.is_file()]
    given += [path for part in CHECKS.iterdir() if part.is_dir() for path in part.iterdir() if path.name != "data"]
    paths = [Path(one) for one in (*python, *_SYSTEM, *more)] + [one for one in given if one.name != "__pycache__"]
    return [one for one in paths if one.exists()]


def _open_to_all() -> str:
    """The first folder of answers or hidden tests that every user can read; empty where there is none."""
    folders = [one for one in (REPOSITORY / "tests" / "hidden", REPOSITORY / "solutions") if one.is_dir()]
    return next((str(one) for one in folders if _for_everyone(one)), "")


def _closed_to_others(paths: Sequence[str]) -> str:
    """The first of some paths that not every user can read; empty where there is none."""
    return next((one for one in paths if os.path.exists(one) and not _for_everyone(Path(one).resolve())), "")


def _for_everyone(path: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in (path, *path.parents) if one.is_dir())


# What a child does to itself.


def close_all_but(keep: int) -> None:
    """Close every open file but one and the three standard ones."""
    os.closerange(3, keep)
    os.closerange(keep + 1, max(keep + 1, os.sysconf("SC_OPEN_MAX")))


def silence() -> None:
    """Turn standard input and output to nowhere: what an answer prints is not wanted, and cannot flood anything."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.close(nowhere)


def become(user: int) -> None:
    """Become a user and its group, and nobody else."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def live_in(home: Path) -> None:
    """Make a folder the current one, and that for temporary files."""
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    tempfile.tempdir = None


def settle(home: Path, bounds: Bounds, own_user: bool) -> None:
    """Live in a folder, in a session of its own, within bounds.

    Args:
        own_user: whether nobody else is this user. Threads are counted by user, and are bounded for such a one alone.
    """
    import resource  # no part of Python on Windows

    os.setsid()  # signals to its group reach no one else
    live_in(home)
    bounded = {
        "RLIMIT_AS": bounds.memory + _mapped_bytes(),
        "RLIMIT_FSIZE": bounds.disk,
        "RLIMIT_CPU": bounds.cpu,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        **({"RLIMIT_NPROC": bounds.threads} if own_user else {}),
    }
    for name, most in bounded.items():
        number = getattr(resource, name, None)  # other systems have fewer
        if number is not None:
            hard = resource.getrlimit(number)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(number, (most, most))


def _mapped_bytes() -> int:
    """Bytes of address space that this process has mapped, where the system tells."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0


def without_return(run: Callable[[], None]) -> NoReturn:
    """Run something in a forked child, which ends with it."""
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_for(pid: int, patience: float | None = None) -> int | None:
    """Wait for a child of this process to end.

    Args:
        patience: seconds; None for ever.

    Returns: its exit code, or minus the signal that ended it; None where it still runs.
    """
    deadline = math.inf if patience is None else time.monotonic() + patience
    while True:
        ended, status = os.waitpid(pid, 0 if patience is None else os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)
