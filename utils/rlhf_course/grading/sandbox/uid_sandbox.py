"""Isolate a process at the level `uid`: it runs as an unused user, restricted by Landlock, seccomp and rlimits."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.child_process import (
    ChildMain,
    apply_rlimits,
    close_other_fds,
    make_parent_of_homes,
    redirect_stdio_to_devnull,
    run_and_exit,
    set_home,
    set_uid,
    wait_for_exit,
)
from rlhf_course.grading.sandbox.readable_paths import DEVICES, readable_paths
from rlhf_course.grading.sandbox.user_ids import UnusedUserIds
from rlhf_course.paths import REPOSITORY


class UidSandbox:
    """Runs each child as a user of its own, to whom the kernel refuses other users' files, processes and sockets.

    It is for root inside a container that does not allow namespaces, such as that of a grading service.
    """

    def __init__(self, limits: ResourceLimits, readable: Sequence[str] = ()) -> None:
        self._limits, self._readable = limits, readable
        self._user_ids = UnusedUserIds()
        self._homes: dict[int, Path] = {}

    def prepare(self) -> None:
        """Check that there are unused user ids, and that Landlock or file modes hide the hidden files from them.

        See `SandboxBackend.prepare`.
        """
        linux_syscalls.require_supported_platform()
        if not self._user_ids.available:
            raise PermissionError("this process is not root")
        if path := _first_closed_path([*sys.path, sys.base_prefix]):
            raise PermissionError(f"other users cannot read {path}, where Python is")
        self._landlock = linux_syscalls.has_landlock()
        if not self._landlock and (path := _first_open_secret()):
            raise PermissionError(f"every user can read {path}, and this kernel has no Landlock")
        self._parent_of_homes = make_parent_of_homes()

    def spawn(self, child_main: ChildMain, keep_fd: int) -> int:
        """See `SandboxBackend.spawn`."""
        uid = self._user_ids.allocate()
        home = Path(tempfile.mkdtemp(dir=self._parent_of_homes))
        os.chown(home, uid, uid)
        child = os.fork()
        if child == 0:
            run_and_exit(lambda: self._run_child(child_main, keep_fd, uid, home))
        self._homes[child] = home
        return child

    def _run_child(self, child_main: ChildMain, keep_fd: int, uid: int, home: Path) -> None:
        close_other_fds(keep_fd)
        linux_syscalls.set_no_new_privs()
        set_uid(uid)
        linux_syscalls.set_parent_death_signal()
        os.setsid()  # Signals to its process group must not reach the zygote.
        set_home(home)
        apply_rlimits(self._limits, limit_threads=True)
        linux_syscalls.drop_capabilities()
        redirect_stdio_to_devnull()
        if self._landlock:
            readable = [*readable_paths(self._readable), Path("/proc")]
            linux_syscalls.restrict_files_with_landlock(readable, [home, *DEVICES])
        linux_syscalls.install_seccomp_filter()
        child_main(home)

    def terminate(self, pid: int, grace_period: float) -> int | None:
        """See `SandboxBackend.terminate`. The seccomp filter refuses forks, so the child is the only process."""
        code = wait_for_exit(pid, grace_period)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            wait_for_exit(pid)
        shutil.rmtree(self._homes.pop(pid), ignore_errors=True)
        return code

    def close(self) -> None:
        """See `SandboxBackend.close`."""
        shutil.rmtree(self._parent_of_homes, ignore_errors=True)


def _first_open_secret() -> str:
    """Return the first folder of answers or hidden tests that every user can enter; empty if there is none."""
    folders = [folder for folder in (REPOSITORY / "tests" / "hidden", REPOSITORY / "solutions") if folder.is_dir()]
    return next((str(folder) for folder in folders if _every_user_can_enter(folder)), "")


def _first_closed_path(paths: Sequence[str]) -> str:
    """Return the first of some paths that not every user can reach; empty if there is none."""
    existing = (path for path in paths if os.path.exists(path))
    return next((path for path in existing if not _every_user_can_enter(Path(path).resolve())), "")


def _every_user_can_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.is_dir())
