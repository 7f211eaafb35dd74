"""The strongest level of isolation: a sandbox with its own files, process numbers, network, names and user."""

import os
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rlhf_course.grading import kernel
from rlhf_course.grading.confinement import (
    DEVICES,
    Bounds,
    Run,
    Users,
    become,
    close_all_but,
    kill_and_wait,
    live_in,
    readable_paths,
    settle,
    silence,
    without_return,
)

_HOME = Path("/home/learner")
_OLD_ROOT = "old-root"
# The user inside, where this is not root and there is no other user to become.
_INNER_USER = 1000
# Mounts hold no devices, and nothing that runs.
_PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
# How the first process of a sandbox says by its exit code that a signal ended the learner's.
_SIGNALLED = 128


class Namespaces:
    """See `Confinement`."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._users = Users()

    def prepare(self) -> None:
        """Move into a root that holds only what a sandbox may see, as the first process of a pid namespace.

        The zygote itself sees no more than that, and when it goes all its sandboxes go.
        """
        kernel.require_known_processor()
        new = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID
        if self._users.own:
            kernel.unshare(new)
        else:
            _enter_user_namespace(new)
        _go_on_in_child()
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        _move_into_new_root(readable_paths(self._bounds.readable))
        kernel.mount("home", _HOME, "tmpfs", _PLAIN, "size=4m,mode=700")
        live_in(_HOME)
        self._pidfd = os.pidfd_open(os.getpid())

    def spawn(self, run: Run, keep: int) -> int:
        """See `Confinement`. The child is the first process of a pid namespace, so that killing it kills all in it."""
        user = self._users.next() if self._users.own else _INNER_USER
        kernel.unshare(kernel.CLONE_NEWPID)
        child = os.fork()
        if child == 0:
            without_return(lambda: self._be_first(run, keep, user))
        kernel.enter_pid_namespace_of(self._pidfd)
        return child

    def _be_first(self, run: Run, keep: int, user: int) -> None:
        """Make the sandbox, start the learner's process in it, and end as that one ends."""
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
        close_all_but(keep)
        _mount_own(user, self._bounds.disk)
        socket.sethostname("sandbox")
        Path("/proc/self/oom_score_adj").write_text("1000")
        child = os.fork()
        if child == 0:
            without_return(lambda: self._be_learner(run, user))
        os.close(keep)
        _wait_as_first(child)

    def _be_learner(self, run: Run, user: int) -> None:
        if self._users.own:
            become(user)
        settle(_HOME, self._bounds, own_user=self._users.own)
        kernel.drop_privileges()
        silence()
        kernel.refuse_system_calls()
        run(_HOME)

    def end(self, pid: int, patience: float) -> int | None:
        """See `Confinement`."""
        code = kill_and_wait(pid, os.kill, patience)
        return _SIGNALLED - code if code is not None and code > _SIGNALLED else code


def _enter_user_namespace(new: int) -> None:
    """Make namespaces without being root: as a user who has every right, in a namespace of users."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | new)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_INNER_USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{_INNER_USER} {group} 1")


def _go_on_in_child() -> None:
    """Return in a new child, which goes when this process goes; this one waits, and ends as it ends."""
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        return
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 1)


def _move_into_new_root(paths: Sequence[Path]) -> None:
    """Make a small file system of these paths and a few devices the root, and leave the old root behind."""
    places = {path: path.resolve() for path in (*paths, *DEVICES)}
    root = Path(tempfile.gettempdir())
    kernel.mount("sandbox", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    (root / _OLD_ROOT).mkdir()
    kernel.change_root(root, _OLD_ROOT)
    for folder in (Path("/proc"), _HOME):
        folder.mkdir(parents=True)
    _show(places)
    kernel.mount("proc", "/proc", "proc", _PLAIN)
    kernel.unmount(f"/{_OLD_ROOT}")
    kernel.make_read_only(Path("/"))


def _in_old_root(path: Path) -> Path:
    return Path(f"/{_OLD_ROOT}{path}")


def _show(places: Mapping[Path, Path]) -> None:
    """Bind what paths stand for in the old root at its own place, and link to it where a path was another."""
    shown: set[Path] = set()
    for real in sorted(set(places.values())):
        if shown.isdisjoint({real, *real.parents}):
            real.parent.mkdir(parents=True, exist_ok=True)
            real.mkdir() if _in_old_root(real).is_dir() else real.touch()
            kernel.bind(_in_old_root(real), real)
            shown.add(real)
    for path, real in places.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(real)


def _mount_own(user: int, disk: int) -> None:
    """A small folder to write in, and a /proc that shows this sandbox alone."""
    kernel.mount("home", _HOME, "tmpfs", _PLAIN, f"size={disk},nr_inodes=1024,mode=700,uid={user},gid={user}")
    kernel.mount("proc", "/proc", "proc", _PLAIN)


def _wait_as_first(child: int) -> NoReturn:
    """Take the place of init until a child ends, and end as it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = 0
    while pid != child:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else _SIGNALLED - code)
