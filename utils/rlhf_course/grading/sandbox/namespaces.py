"""Isolate a process at the level `namespaces`: its own files, process ids, network, IPC, host name and user."""

import contextlib
import os
import select
import signal
import socket
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.child_process import (
    ChildMain,
    apply_rlimits,
    close_other_fds,
    redirect_stdio_to_devnull,
    run_and_exit,
    set_home,
    set_uid,
    wait_for_exit,
)
from rlhf_course.grading.sandbox.readable_paths import DEVICES, readable_paths
from rlhf_course.grading.sandbox.user_ids import UnusedUserIds

_HOME = Path("/sandbox")
_OLD_ROOT = "old-root"
# The user id inside a user namespace, where this process is not root and cannot switch to another user.
_UID_IN_USER_NAMESPACE = 1000
# Mounts that an answer can write to hold no devices and no programs.
_DATA_ONLY = linux_syscalls.MS_NOSUID | linux_syscalls.MS_NODEV | linux_syscalls.MS_NOEXEC
_SANDBOX_NAMESPACES = (
    linux_syscalls.CLONE_NEWNS | linux_syscalls.CLONE_NEWNET | linux_syscalls.CLONE_NEWIPC | linux_syscalls.CLONE_NEWUTS
)
# The spawner's reply: the process id of a namespace holder, or 0 if it could not be made, and the user id.
_HOLDER_REPLY = struct.Struct("=iI")


@dataclass(frozen=True)
class NamespaceHolder:
    """The first process of a sandbox's pid namespace: it keeps the namespaces open, and killing it ends the sandbox.

    Attributes:
        pidfd: The process, as a file descriptor.
        uid: The user that the answer runs as.
    """

    pidfd: int
    uid: int

    def enter_pid_namespace(self) -> None:
        """Let the next children of this process start in the holder's pid namespace."""
        linux_syscalls.setns(self.pidfd, linux_syscalls.CLONE_NEWPID)

    def enter_other_namespaces(self) -> None:
        """Move this process to the holder's mounts, network, IPC and host name."""
        linux_syscalls.setns(self.pidfd, _SANDBOX_NAMESPACES)

    def kill(self) -> None:
        """Send SIGKILL; the kernel then kills every process in the pid namespace."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the holder, and with it every process in the pid namespace, has ended."""
        select.select([self.pidfd], [], [])
        os.close(self.pidfd)


class NamespaceSpawner:
    """A small child process that makes namespace holders; it forks faster than the zygote, which has torch loaded.

    It always makes the next holder in advance, so that `next_holder` seldom has to wait.
    """

    def __init__(self, disk_bytes: int, use_unused_uids: bool) -> None:
        self._connection, spawner_end = socket.socketpair()
        if os.fork() == 0:
            run_and_exit(lambda: _run_spawner(spawner_end, disk_bytes, use_unused_uids))
        spawner_end.close()
        self._request_holder()

    def _request_holder(self) -> None:
        self._connection.sendall(b"!")

    def next_holder(self) -> NamespaceHolder:
        """Return a new holder, and request the one after it.

        Raises:
            OSError: The kernel gives no more namespaces.
        """
        reply = self._connection.recv(_HOLDER_REPLY.size)
        self._request_holder()
        pid, uid = _HOLDER_REPLY.unpack(reply) if len(reply) == _HOLDER_REPLY.size else (0, 0)
        if pid == 0:
            raise OSError("the kernel gives no more namespaces")
        return NamespaceHolder(os.pidfd_open(pid), uid)


class NamespaceSandbox:
    """Forks each child from the zygote into the namespaces of a `NamespaceHolder`."""

    def __init__(self, limits: ResourceLimits, readable: Sequence[str] = ()) -> None:
        self._limits, self._readable = limits, readable
        self._holders: dict[int, NamespaceHolder] = {}

    def prepare(self) -> None:
        """Make this process the first one of a pid namespace, with a root that holds only what a sandbox may read.

        The zygote itself can read no other files, and all its sandboxes end when it ends. See
        `SandboxBackend.prepare`.
        """
        linux_syscalls.require_supported_platform()
        self._use_unused_uids = UnusedUserIds().available and linux_syscalls.has_cap_sys_admin()
        flags = linux_syscalls.CLONE_NEWNS | linux_syscalls.CLONE_NEWPID
        if self._use_unused_uids:
            linux_syscalls.unshare(flags)
        else:
            _unshare_as_user(flags)
        _continue_in_child()
        linux_syscalls.mount("none", "/", flags=linux_syscalls.MS_REC | linux_syscalls.MS_PRIVATE)
        _pivot_to_new_root(readable_paths(self._readable))
        linux_syscalls.mount("home", _HOME, "tmpfs", _DATA_ONLY, "size=4m,mode=700")
        set_home(_HOME)
        self._own_pidfd = os.pidfd_open(os.getpid())
        self._spawner = NamespaceSpawner(self._limits.disk_bytes, self._use_unused_uids)

    def spawn(self, child_main: ChildMain, keep_fd: int) -> int:
        """See `SandboxBackend.spawn`."""
        holder = self._spawner.next_holder()
        holder.enter_pid_namespace()
        child = os.fork()
        if child == 0:
            run_and_exit(lambda: self._run_child(child_main, keep_fd, holder))
        linux_syscalls.setns(self._own_pidfd, linux_syscalls.CLONE_NEWPID)
        self._holders[child] = holder
        return child

    def _run_child(self, child_main: ChildMain, keep_fd: int, holder: NamespaceHolder) -> None:
        holder.enter_other_namespaces()
        close_other_fds(keep_fd)
        Path("/proc/self/oom_score_adj").write_text("1000")  # The kernel kills it first if memory runs out.
        linux_syscalls.set_no_new_privs()
        if self._use_unused_uids:
            set_uid(holder.uid)
        os.setsid()  # Signals to its process group must not reach the zygote.
        set_home(_HOME)
        apply_rlimits(self._limits, limit_threads=self._use_unused_uids)
        linux_syscalls.drop_capabilities()
        redirect_stdio_to_devnull()
        linux_syscalls.install_seccomp_filter()
        child_main(_HOME)

    def terminate(self, pid: int, grace_period: float) -> int | None:
        """See `SandboxBackend.terminate`. The kernel ends a pid namespace before its first process is gone."""
        holder = self._holders.pop(pid)
        code = wait_for_exit(pid, grace_period)
        holder.kill()
        if code is None:
            wait_for_exit(pid)
        holder.wait()
        return code

    def close(self) -> None:
        """See `SandboxBackend.close`. There is nothing to delete: every folder ends with its mount namespace."""


def _run_spawner(connection: socket.socket, disk_bytes: int, use_unused_uids: bool) -> None:
    """Make a namespace holder for each byte received, until the zygote closes the connection."""
    close_other_fds(connection.fileno())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel then reaps the holders.
    own_pidfd = os.pidfd_open(os.getpid())
    user_ids = UnusedUserIds()
    with contextlib.suppress(ConnectionError):
        while connection.recv(1):
            uid = user_ids.allocate() if use_unused_uids else _UID_IN_USER_NAMESPACE
            connection.sendall(_HOLDER_REPLY.pack(_fork_holder(own_pidfd, uid, disk_bytes), uid))


def _fork_holder(own_pidfd: int, uid: int, disk_bytes: int) -> int:
    """Fork a namespace holder and wait until its namespaces are ready.

    Args:
        own_pidfd: This process, whose pid namespace is entered again after the fork.

    Returns:
        The holder's process id; 0 if its namespaces could not be made.
    """
    ready_reader, ready_writer = os.pipe()
    linux_syscalls.unshare(linux_syscalls.CLONE_NEWPID)
    holder = os.fork()
    if holder == 0:
        run_and_exit(lambda: _run_holder(ready_writer, uid, disk_bytes))
    linux_syscalls.setns(own_pidfd, linux_syscalls.CLONE_NEWPID)
    os.close(ready_writer)
    ready = os.read(ready_reader, 1)
    os.close(ready_reader)
    return holder if ready else 0


def _run_holder(ready_writer: int, uid: int, disk_bytes: int) -> None:
    """Make the namespaces of a sandbox, write a byte to `ready_writer`, and wait to be killed."""
    linux_syscalls.set_parent_death_signal()
    linux_syscalls.unshare(_SANDBOX_NAMESPACES)
    close_other_fds(ready_writer)
    options = f"size={disk_bytes},nr_inodes=1024,mode=700,uid={uid},gid={uid}"
    linux_syscalls.mount("home", _HOME, "tmpfs", _DATA_ONLY, options)
    linux_syscalls.mount("proc", "/proc", "proc", _DATA_ONLY)
    socket.sethostname("sandbox")
    os.write(ready_writer, b"!")
    os.close(ready_writer)
    while True:
        signal.pause()


def _unshare_as_user(flags: int) -> None:
    """Make namespaces without CAP_SYS_ADMIN: a new user namespace gives this process every capability inside it."""
    uid, gid = os.geteuid(), os.getegid()
    linux_syscalls.unshare(linux_syscalls.CLONE_NEWUSER | flags)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_UID_IN_USER_NAMESPACE} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_UID_IN_USER_NAMESPACE} {gid} 1")


def _continue_in_child() -> None:
    """Fork and return in the child, which ends with its parent; the parent waits and exits with the child's code."""
    child = os.fork()
    if child == 0:
        linux_syscalls.set_parent_death_signal()
        return
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 1)


def _pivot_to_new_root(paths: Sequence[Path]) -> None:
    """Make a small read-only file system with these paths and a few devices the root, and detach the old root."""
    real_paths = {path: path.resolve() for path in (*paths, *DEVICES)}
    root = Path(tempfile.gettempdir())
    flags = linux_syscalls.MS_NOSUID | linux_syscalls.MS_NODEV
    linux_syscalls.mount("sandbox", root, "tmpfs", flags, "size=1m,mode=755")
    (root / _OLD_ROOT).mkdir()
    linux_syscalls.pivot_root(root, _OLD_ROOT)
    for folder in (Path("/proc"), _HOME):
        folder.mkdir(parents=True)
    _bind_from_old_root(real_paths)
    linux_syscalls.mount("proc", "/proc", "proc", _DATA_ONLY)
    linux_syscalls.umount(f"/{_OLD_ROOT}")
    linux_syscalls.remount_read_only(Path("/"))


def _in_old_root(path: Path) -> Path:
    return Path(f"/{_OLD_ROOT}{path}")


def _bind_from_old_root(real_paths: Mapping[Path, Path]) -> None:
    """Bind each real path of the old root to the same path of the new one, and make links for the other paths.

    Args:
        real_paths: The resolved path of each path that is to exist in the new root.
    """
    bound: set[Path] = set()
    for real in sorted(set(real_paths.values())):
        if bound.isdisjoint({real, *real.parents}):
            real.parent.mkdir(parents=True, exist_ok=True)
            real.mkdir() if _in_old_root(real).is_dir() else real.touch()
            linux_syscalls.bind_mount(_in_old_root(real), real)
            bound.add(real)
    for path, real in real_paths.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(real)
