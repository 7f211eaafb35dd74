"""Start a zygote, and request sandboxes from it; this is the judge's side."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, Level, last_line
from rlhf_course.grading.sandbox.zygote import ZygoteConfig
from rlhf_course.paths import PACKAGE

_CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from rlhf_course.grading.sandbox.zygote import main
main(int(sys.argv[2]), sys.argv[3])
"""
READY_TIMEOUT, REPLY_TIMEOUT, EXIT_TIMEOUT = 300.0, 60.0, 10.0
_GRACE_PERIOD = 1.0
# glibc keeps freed blocks of up to 32 MB for the next tensors, and takes huge pages. By default it gives large blocks
# back to the kernel, which has to clear each page again: that takes longer than the arithmetic on large logits.
_TUNABLES = {"hugetlb": 1, "mmap_threshold": 2**25, "trim_threshold": 2**27}
ALLOCATOR = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in _TUNABLES.items())}
# The whole environment of a sandbox: one thread, and no access to the hub.
_ENVIRONMENT = {
    **ALLOCATOR,
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
    "USER": "learner",
    "LOGNAME": "learner",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RLHF_COURSE_DEVICE": "cpu",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}


class ZygoteLost(OSError):
    """An error for a zygote that has ended or does not reply; no answer caused it, and a new one has to be started."""


@dataclass
class Sandbox:
    """One running sandbox.

    Attributes:
        connection: The socket to the worker process in it.
    """

    connection: socket.socket
    _id: int
    _zygote: "Zygote"

    def terminate(self, graceful: bool = False) -> int | None:
        """Kill every process in the sandbox, and wait until they have ended.

        Args:
            graceful: Whether to give the worker a second to end by itself, since it has closed its connection.

        Returns:
            The worker's exit code, or minus the number of the signal that ended it; None if it had to be killed.
        """
        self.connection.close()
        return self._zygote.terminate(self._id, _GRACE_PERIOD if graceful else 0)


class Zygote:
    """A zygote process, from which sandboxes are forked.

    Use it as a context manager, which ends the zygote and all its sandboxes.
    """

    def __init__(self, config: ZygoteConfig) -> None:
        """Start the process and wait until it is ready.

        Raises:
            IsolationUnavailable: This machine does not support the isolation level.
        """
        self._control, zygote_end = socket.socketpair()
        with ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            self._open_files = stack.pop_all()
        self._last_id = 0
        arguments = [str(PACKAGE.parent), str(zygote_end.fileno()), config.to_json()]
        with zygote_end:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _CODE, *arguments],
                env={**_ENVIRONMENT, "TMPDIR": tempfile.gettempdir()},
                cwd="/",
                pass_fds=[zygote_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C must reach only the judge, which ends the zygote when it ends.
            )
        self._received = b""
        self._spare: Sandbox | None = None
        self._is_spare_started = False
        try:
            self._wait_until_ready(config.level)
            self._spare = self._request_sandbox()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self, level: Level) -> None:
        try:
            reply = self._recv(READY_TIMEOUT)
        except ZygoteLost as error:
            raise IsolationUnavailable(level, f"the zygote process ended: {self._last_log_line()}") from error
        if "unavailable" in reply:
            raise IsolationUnavailable(level, reply["unavailable"])

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the zygote and its sandboxes."""
        self._control.close()
        if self._spare is not None:
            self._spare.connection.close()
        try:
            self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._open_files.close()

    def sandbox(self) -> Sandbox:
        """Return a sandbox, and request the next one, which starts while this one is used.

        Raises:
            ZygoteLost: The zygote has ended or does not reply.
        """
        self._wait_for_spare()
        sandbox, self._spare = self._spare, self._request_sandbox()
        assert sandbox is not None, "a started zygote always has a spare sandbox"
        return sandbox

    def _request_sandbox(self) -> Sandbox:
        """Request a sandbox without waiting for it."""
        judge_end, worker_end = socket.socketpair()
        self._last_id += 1
        with worker_end:
            self._send({"start": self._last_id}, [worker_end.fileno()])
        self._is_spare_started = False
        return Sandbox(judge_end, self._last_id, self)

    def _wait_for_spare(self) -> None:
        """Read the zygote's reply to the last start request, unless it has been read."""
        if not self._is_spare_started:
            reply = self._recv(REPLY_TIMEOUT)
            if "started" not in reply:
                raise ZygoteLost(f"no sandbox could be started: {reply.get('failed')}")
            self._is_spare_started = True

    def terminate(self, sandbox_id: int, grace_period: float) -> int | None:
        """Terminate a sandbox; see `Sandbox.terminate`."""
        self._wait_for_spare()
        self._send({"terminate": sandbox_id, "grace_period": grace_period}, [])
        exit_code: int | None = self._recv(REPLY_TIMEOUT)["exit_code"]
        return exit_code

    def _send(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        except OSError as error:
            raise ZygoteLost(f"the zygote process has ended: {self._last_log_line()}") from error

    def _recv(self, timeout: float) -> dict[str, Any]:
        """Return the zygote's next reply."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            try:
                self._control.settimeout(max(0.01, deadline - time.monotonic()))
                data = self._control.recv(4096)
            except OSError as error:
                raise ZygoteLost(f"the zygote process does not reply: {error}") from error
            if not data:
                raise ZygoteLost(f"the zygote process ended: {self._last_log_line()}")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_log_line(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return last_line(os.pread(self._log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace"))
