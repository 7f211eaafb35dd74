"""Choose the sandbox backend of an isolation level, and probe whether this machine supports it."""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.child_process import ChildMain
from rlhf_course.grading.sandbox.isolation import Level
from rlhf_course.grading.sandbox.namespaces import NamespaceSandbox
from rlhf_course.grading.sandbox.no_sandbox import NoSandbox
from rlhf_course.grading.sandbox.uid_sandbox import UidSandbox


class SandboxBackend(Protocol):
    """Isolates forked processes at one isolation level.

    A backend first prepares the zygote, before the zygote loads anything, and then spawns children of it. Both happen
    in processes of their own: a backend changes nothing in the process that judges.
    """

    def prepare(self) -> None:
        """Prepare this process, the zygote, for spawning sandboxes.

        Raises:
            OSError: This machine does not support the level.
        """

    def spawn(self, child_main: ChildMain, keep_fd: int) -> int:
        """Fork a child that isolates itself and then calls `child_main` with a home folder of its own.

        Args:
            child_main: The function that the child calls.
            keep_fd: The only file descriptor, beside the standard streams, that stays open in the child.

        Returns:
            The process id, to be passed to `terminate`.
        """

    def terminate(self, pid: int, grace_period: float) -> int | None:
        """Kill a spawned process and all processes that it started, and wait until they have ended.

        Args:
            pid: The process id that `spawn` returned.
            grace_period: Seconds in which the process may end by itself.

        Returns:
            The exit code, or minus the number of the signal that ended the process; None if it had to be killed.
        """

    def close(self) -> None:
        """Delete the folders that the backend made."""


_BACKENDS: Mapping[Level, Callable[[ResourceLimits, Sequence[str]], SandboxBackend]] = {
    "namespaces": NamespaceSandbox,
    "uid": UidSandbox,
    "unsafe": NoSandbox,
}


def sandbox_backend(level: Level, limits: ResourceLimits, readable: Sequence[str] = ()) -> SandboxBackend:
    """Return the sandbox backend for an isolation level.

    Args:
        level: The isolation level.
        limits: The resource limits of each sandbox.
        readable: Files and folders that a sandbox may read beside Python and the package.
    """
    return _BACKENDS[level](limits, readable)


def probe(level: Level) -> None:
    """Turn this process into a zygote and run one empty sandbox at an isolation level.

    Raises:
        OSError: This machine does not support the level; the message says why.
    """
    backend = sandbox_backend(level, ResourceLimits())
    backend.prepare()
    receiver, sender = socket.socketpair()
    pid = backend.spawn(lambda home: sender.sendall(b"ok"), sender.fileno())
    sender.close()
    reply = receiver.recv(2)
    code = backend.terminate(pid, grace_period=1)
    backend.close()
    if reply != b"ok":
        raise OSError(f"the sandbox ended with {code}")
