"""Run a process at the level `unsafe`: with rlimits and a deadline, but as the user who grades."""

import contextlib
import os
import platform
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.child_process import (
    ChildMain,
    apply_rlimits,
    close_other_fds,
    make_parent_of_homes,
    redirect_stdio_to_devnull,
    run_and_exit,
    set_home,
    wait_for_exit,
)


class NoSandbox:
    """Runs each child with limits but without isolation; this is for trusted code."""

    def __init__(self, limits: ResourceLimits, readable: Sequence[str] = ()) -> None:
        self._limits = limits
        self._homes: dict[int, Path] = {}

    def prepare(self) -> None:
        """Check that this system can fork; see `SandboxBackend.prepare`."""
        if not hasattr(os, "fork"):
            raise OSError(f"{platform.system()} cannot fork")
        self._parent_of_homes = make_parent_of_homes()

    def spawn(self, child_main: ChildMain, keep_fd: int) -> int:
        """See `SandboxBackend.spawn`."""
        home = Path(tempfile.mkdtemp(dir=self._parent_of_homes))
        child = os.fork()
        if child == 0:
            run_and_exit(lambda: self._run_child(child_main, keep_fd, home))
        self._homes[child] = home
        return child

    def _run_child(self, child_main: ChildMain, keep_fd: int, home: Path) -> None:
        close_other_fds(keep_fd)
        os.setsid()  # Signals to its process group must not reach the zygote.
        set_home(home)
        apply_rlimits(self._limits, limit_threads=False)
        redirect_stdio_to_devnull()
        child_main(home)

    def terminate(self, pid: int, grace_period: float) -> int | None:
        """See `SandboxBackend.terminate`. Processes that left the child's process group are not found."""
        code = wait_for_exit(pid, grace_period)
        with contextlib.suppress(ProcessLookupError):  # The group is empty, or the child has not called setsid yet.
            os.killpg(pid, signal.SIGKILL)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            wait_for_exit(pid)
        shutil.rmtree(self._homes.pop(pid), ignore_errors=True)
        return code

    def close(self) -> None:
        """See `SandboxBackend.close`."""
        shutil.rmtree(self._parent_of_homes, ignore_errors=True)
