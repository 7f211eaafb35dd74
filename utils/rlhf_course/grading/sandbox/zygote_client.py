"""The judge's side of a zygote: starting it, asking it for sandboxes, and being sure that they are gone."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rlhf_course.grading.sandbox.isolation import PACKAGE, IsolationUnavailable, Level, reason_in
from rlhf_course.grading.sandbox.zygote import ZygoteConfig

_CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from rlhf_course.grading.sandbox.zygote import main
main(int(sys.argv[2]), sys.argv[3])
"""
_READY_WITHIN, _WORD_WITHIN, _END_WITHIN = 300.0, 60.0, 10.0
_PATIENCE = 1.0
# All that a sandbox knows of its surroundings: one thread, no hub, no home but its own.
_ENVIRONMENT = {
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
    """The process that sandboxes come from has ended, or says nothing: no answer's fault, and a new one has to start."""


@dataclass
class Sandbox:
    """One running sandbox.

    Attributes:
        connection: to the process in it.
    """

    connection: socket.socket
    _number: int
    _zygote: "Zygote"

    def end(self, patient: bool = False) -> int | None:
        """Kill everything in it, and wait until it is gone.

        Args:
            patient: let its process end by itself first, since it seems about to.

        Returns: the exit code of its process, or minus the signal that ended it; None where it had to be killed.
        """
        self.connection.close()
        return self._zygote.end(self._number, _PATIENCE if patient else 0)


class Zygote:
    """A process that sandboxes are forked from.

    Use it as a context manager: at its end neither it nor a sandbox is left.
    """

    def __init__(self, setup: ZygoteConfig) -> None:
        """Start it.

        Raises:
            IsolationUnavailable: it cannot have the isolation that is asked for.
        """
        self._control, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()
        self._started = 0
        arguments = [str(PACKAGE.parent), str(theirs.fileno()), setup.as_text()]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _CODE, *arguments],
                env={**_ENVIRONMENT, "TMPDIR": tempfile.gettempdir()},
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C is for the judge, which ends it when it ends
            )
        self._replies = b""
        self._spare: Sandbox | None = None
        try:
            self._wait_until_ready(setup.level)
            self._spare = self._ordered()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self, level: Level) -> None:
        try:
            said = self._hear(_READY_WITHIN)
        except ZygoteLost as error:
            raise IsolationUnavailable(
                level, f"the process that would make sandboxes ended: {self._last_words()}"
            ) from error
        if "unavailable" in said:
            raise IsolationUnavailable(level, said["unavailable"])

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it and its sandboxes."""
        self._control.close()
        if self._spare is not None:
            self._spare.connection.close()
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def sandbox(self) -> Sandbox:
        """A sandbox; the next one is started while this one is used.

        Raises:
            ZygoteLost: there is nobody to start it.
        """
        self._hear_of_spare()
        sandbox, self._spare = self._spare, self._ordered()
        return sandbox

    def _ordered(self) -> Sandbox:
        """A sandbox that is going to be started."""
        ours, theirs = socket.socketpair()
        self._started += 1
        with theirs:
            self._say({"start": self._started}, [theirs.fileno()])
        self._is_spare_started = False
        return Sandbox(ours, self._started, self)

    def _hear_of_spare(self) -> None:
        """Read, once, what the zygote says of the spare sandbox."""
        if not self._is_spare_started:
            said = self._hear(_WORD_WITHIN)
            if "started" not in said:
                raise ZygoteLost(f"no sandbox could be started: {said.get('failed')}")
            self._is_spare_started = True

    def end(self, number: int, patience: float) -> int | None:
        """End a sandbox; see `Sandbox.end`."""
        self._hear_of_spare()
        self._say({"end": number, "patience": patience}, [])
        return self._hear(_WORD_WITHIN)["ended"]

    def _say(self, words: dict[str, Any], handles: list[int]) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(words).encode()], handles)
        except OSError as error:
            raise ZygoteLost(f"the process that makes sandboxes is gone: {self._last_words()}") from error

    def _hear(self, within: float) -> dict[str, Any]:
        """The next line that the zygote says."""
        deadline = time.monotonic() + within
        while b"\n" not in self._replies:
            try:
                self._control.settimeout(max(0.01, deadline - time.monotonic()))
                heard = self._control.recv(4096)
            except OSError as error:
                raise ZygoteLost(f"the process that makes sandboxes says nothing: {error}") from error
            if not heard:
                raise ZygoteLost(f"the process that makes sandboxes ended: {self._last_words()}")
            self._replies += heard
        line, _, self._replies = self._replies.partition(b"\n")
        return json.loads(line)

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return reason_in(os.pread(self._log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace"))
