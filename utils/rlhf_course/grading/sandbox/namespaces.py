"""The strongest level of isolation: a sandbox with its own files, process numbers, network, names and user."""

import contextlib
import os
import select
import signal
import socket
import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.backends import (
    DEVICES,
    Bounds,
    Run,
    Users,
    become,
    close_all_but,
    live_in,
    readable_paths,
    settle,
    silence,
    wait_for,
    without_return,
)

_HOME = Path("/sandbox")
_OLD_ROOT = "old-root"
# The user inside, where this is not root and there is no other user to become.
_INNER_USER = 1000
# Mounts hold no devices, and nothing that runs.
_PLAIN = linux_syscalls.MS_NOSUID | linux_syscalls.MS_NODEV | linux_syscalls.MS_NOEXEC
_ROOM_KINDS = (
    linux_syscalls.CLONE_NEWNS | linux_syscalls.CLONE_NEWNET | linux_syscalls.CLONE_NEWIPC | linux_syscalls.CLONE_NEWUTS
)
# What the porter says of a room: its first process, or 0 where there is none, and its user.
_ROOM = struct.Struct("=iI")


class NamespaceSandbox:
    """See `SandboxBackend`.

    A sandbox is a *room*, whose first process only waits to be killed, and with it everybody inside; and the learner's process,
    forked from the zygote into the room. Rooms are made by a porter: a small process, which forks quickly.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._own_users = Users().own
        self._rooms: dict[int, int] = {}

    def prepare(self) -> None:
        """Move into a root that holds only what a sandbox may see, as the first process of a pid namespace.

        The zygote itself sees no more than that, and when it goes all its sandboxes go.
        """
        linux_syscalls.require_known_processor()
        self._own_users = self._own_users and linux_syscalls.may_administrate()
        new = linux_syscalls.CLONE_NEWNS | linux_syscalls.CLONE_NEWPID
        if self._own_users:
            linux_syscalls.unshare(new)
        else:
            _enter_user_namespace(new)
        _go_on_in_child()
        linux_syscalls.mount("none", "/", flags=linux_syscalls.MS_REC | linux_syscalls.MS_PRIVATE)
        _move_into_new_root(readable_paths(self._bounds.readable))
        linux_syscalls.mount("home", _HOME, "tmpfs", _PLAIN, "size=4m,mode=700")
        live_in(_HOME)
        self._pidfd = os.pidfd_open(os.getpid())
        self._porter, theirs = socket.socketpair()
        if os.fork() == 0:
            without_return(lambda: _be_porter(theirs, self._bounds.disk, self._own_users))
        theirs.close()
        self._order_room()

    def _order_room(self) -> None:
        """Have the porter make the next room, while other things go on."""
        self._porter.sendall(b"!")

    def _enter_room(self) -> tuple[int, int]:
        """A room's first process, as a pidfd, and its user; the children to come start in it."""
        told = self._porter.recv(_ROOM.size)
        self._order_room()
        pid, user = _ROOM.unpack(told) if len(told) == _ROOM.size else (0, 0)
        if pid == 0:
            raise OSError("no namespaces can be had any more")
        room = os.pidfd_open(pid)
        linux_syscalls.enter_namespaces_of(room, linux_syscalls.CLONE_NEWPID)
        return room, user

    def spawn(self, run: Run, keep: int) -> int:
        """See `SandboxBackend`."""
        room, user = self._enter_room()
        child = os.fork()
        if child == 0:
            without_return(lambda: self._be_learner(run, keep, room, user))
        linux_syscalls.enter_namespaces_of(self._pidfd, linux_syscalls.CLONE_NEWPID)
        self._rooms[child] = room
        return child

    def _be_learner(self, run: Run, keep: int, room: int, user: int) -> None:
        linux_syscalls.enter_namespaces_of(room, _ROOM_KINDS)
        close_all_but(keep)
        Path("/proc/self/oom_score_adj").write_text("1000")
        linux_syscalls.forgo_rights()
        if self._own_users:
            become(user)
        settle(_HOME, self._bounds, own_user=self._own_users)
        linux_syscalls.drop_rights()
        silence()
        linux_syscalls.refuse_system_calls()
        run(_HOME)

    def end(self, pid: int, patience: float) -> int | None:
        """See `SandboxBackend`. The kernel ends everybody in a room before its first process is gone."""
        room = self._rooms.pop(pid)
        code = wait_for(pid, patience)
        signal.pidfd_send_signal(room, signal.SIGKILL)
        if code is None:
            wait_for(pid)
        select.select([room], [], [])
        os.close(room)
        return code

    def close(self) -> None:
        """See `SandboxBackend`. Nothing outside knows of the folders."""


def _be_porter(orders: socket.socket, disk: int, own_users: bool) -> None:
    """Make a room for each byte that comes, until the zygote is gone."""
    close_all_but(orders.fileno())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a room ended
    pidfd = os.pidfd_open(os.getpid())
    users = Users()
    with contextlib.suppress(ConnectionError):
        while orders.recv(1):
            user = users.next() if own_users else _INNER_USER
            orders.sendall(_ROOM.pack(_new_room(pidfd, user, disk), user))


def _new_room(pidfd: int, user: int, disk: int) -> int:
    """The first process of a new room, once it is made; 0 where it cannot be.

    Args:
        pidfd: this process.
    """
    ready, tell = os.pipe()
    linux_syscalls.unshare(linux_syscalls.CLONE_NEWPID)
    room = os.fork()
    if room == 0:
        without_return(lambda: _be_room(tell, user, disk))
    linux_syscalls.enter_namespaces_of(pidfd, linux_syscalls.CLONE_NEWPID)
    os.close(tell)
    made = os.read(ready, 1)
    os.close(ready)
    return room if made else 0


def _be_room(tell: int, user: int, disk: int) -> None:
    """Make a room, and stay in it until it is ended."""
    linux_syscalls.die_with_parent()
    linux_syscalls.unshare(_ROOM_KINDS)
    close_all_but(tell)
    linux_syscalls.mount("home", _HOME, "tmpfs", _PLAIN, f"size={disk},nr_inodes=1024,mode=700,uid={user},gid={user}")
    linux_syscalls.mount("proc", "/proc", "proc", _PLAIN)
    socket.sethostname("sandbox")
    os.write(tell, b"!")
    os.close(tell)
    while True:
        signal.pause()


def _enter_user_namespace(new: int) -> None:
    """Make namespaces without root's right to: as a user who has every right, in a namespace of users."""
    user, group = os.geteuid(), os.getegid()
    linux_syscalls.unshare(linux_syscalls.CLONE_NEWUSER | new)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_INNER_USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{_INNER_USER} {group} 1")


def _go_on_in_child() -> None:
    """Return in a new child, which goes when this process goes; this one waits, and ends as it ends."""
    child = os.fork()
    if child == 0:
        linux_syscalls.die_with_parent()
        return
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 1)


def _move_into_new_root(paths: Sequence[Path]) -> None:
    """Make a small file system of these paths and a few devices the root, and leave the old root behind."""
    places = {path: path.resolve() for path in (*paths, *DEVICES)}
    root = Path(tempfile.gettempdir())
    linux_syscalls.mount(
        "sandbox", root, "tmpfs", linux_syscalls.MS_NOSUID | linux_syscalls.MS_NODEV, "size=1m,mode=755"
    )
    (root / _OLD_ROOT).mkdir()
    linux_syscalls.change_root(root, _OLD_ROOT)
    for folder in (Path("/proc"), _HOME):
        folder.mkdir(parents=True)
    _show(places)
    linux_syscalls.mount("proc", "/proc", "proc", _PLAIN)
    linux_syscalls.unmount(f"/{_OLD_ROOT}")
    linux_syscalls.make_read_only(Path("/"))


def _in_old_root(path: Path) -> Path:
    return Path(f"/{_OLD_ROOT}{path}")


def _show(places: Mapping[Path, Path]) -> None:
    """Bind what paths stand for in the old root at its own place, and link to it where a path was another."""
    shown: set[Path] = set()
    for real in sorted(set(places.values())):
        if shown.isdisjoint({real, *real.parents}):
            real.parent.mkdir(parents=True, exist_ok=True)
            real.mkdir() if _in_old_root(real).is_dir() else real.touch()
            linux_syscalls.bind(_in_old_root(real), real)
            shown.add(real)
    for path, real in places.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(real)
