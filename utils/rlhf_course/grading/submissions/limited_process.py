"""Call functions on strangers' data in a process of its own, with limits of processor time, memory and seconds.

The process runs only the course's code and imports no torch. It stays for the next call until it exceeds a limit.
"""

import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from rlhf_course.errors import CourseError
from rlhf_course.paths import PACKAGE

_CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from rlhf_course.grading.submissions.limited_process_main import main
main(int(sys.argv[2]), int(sys.argv[3]))
"""
UNEXPECTED_FORM = "was read in an unexpected form"
_SIZE_BYTES = 8
# A process that a limit has just ended keeps its exit status; an idle one ends when its input ends.
_GRACE_PERIOD, _EXIT_TIMEOUT = 1, 5


class ReadingFailed(CourseError):
    """An error for data that cannot be read; the message continues a sentence whose subject is the data."""


@dataclass(frozen=True)
class ReadingLimits:
    """The limits of one call.

    Where Python has no module `resource`, as on Windows, only the seconds and the size of the reply are limited.

    Attributes:
        cpu_seconds: Whole seconds of processor time.
        memory: Megabytes of address space beyond what the process has mapped at its start.
        deadline: Seconds after which the process is killed.
        reply: Megabytes of the reply.
    """

    cpu_seconds: int = 5
    memory: int = 1024
    deadline: float = 30.0
    reply: int = 160


class LimitedProcess:
    """A process that calls functions by name and returns their results as plain data.

    Use it as a context manager, which ends the process. It starts with the first call.
    """

    def __init__(self, limits: ReadingLimits | None = None) -> None:
        """Configure the process.

        Args:
            limits: The limits of each call; by default the default limits.
        """
        self.limits = limits or ReadingLimits()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LimitedProcess":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function in the process.

        Args:
            function: The function, as `package.module:name`.
            arguments: Arguments that JSON can represent.

        Returns:
            The function's result, which JSON can represent. Callers check its form.

        Raises:
            ReadingFailed: The call exceeded a limit, raised an exception or ended the process.
        """
        process = self._running()
        is_late = threading.Event()

        def kill_late() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(self.limits.deadline, kill_late)
        timer.daemon = True
        timer.start()
        try:
            reply = self._exchange(process, json.dumps([function, arguments]).encode())
        except (OSError, ValueError) as error:
            self._end()
            raise ReadingFailed(self._reason(process, is_late.is_set(), error)) from error
        finally:
            timer.cancel()
        if "error" in reply:
            self._end()  # After a MemoryError, the process may be in a bad state.
            raise ReadingFailed(self._error(reply["error"]))
        return reply.get("result")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            arguments = map(str, (PACKAGE.parent, self.limits.cpu_seconds, self.limits.memory))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _CODE, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            OSError: The process has ended.
            ValueError: The reply is too large, or is not a JSON object.
        """
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has pipes")
        process.stdin.write(len(request).to_bytes(_SIZE_BYTES, "big") + request)
        process.stdin.flush()
        size = int.from_bytes(_read_exactly(process.stdout, _SIZE_BYTES), "big")
        if size > self.limits.reply * 10**6:
            raise ValueError(f"holds more than {self.limits.reply} MB")
        content = _read_exactly(process.stdout, size)
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(UNEXPECTED_FORM) from error
        if not isinstance(reply, dict):
            raise ValueError(UNEXPECTED_FORM)
        return reply

    def _reason(self, process: subprocess.Popen[bytes], is_late: bool, error: Exception) -> str:
        """Return why there is no reply, after the process has ended."""
        if is_late:
            return f"took longer than {self.limits.deadline:g} seconds to read"
        if process.returncode == -getattr(signal, "SIGXCPU", 0):
            return f"takes more than {self.limits.cpu_seconds} seconds of processor time to read"
        return str(error) if isinstance(error, ValueError) else "ended the process that read it"

    def _error(self, name: object) -> str:
        if name == "MemoryError":
            return f"needs more than {self.limits.memory} MB of memory to read"
        return f"is damaged: {str(name)[:60]}"

    def _end(self) -> None:
        """End the process, if there is one, and wait until it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # The process may have ended before it had read the request.
                    pipe.close()
        try:
            process.wait(timeout=_GRACE_PERIOD)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=_EXIT_TIMEOUT)


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    """Return the next bytes of a file.

    Raises:
        ConnectionError: The file ends before.
    """
    content = file.read(size)
    if len(content) < size:
        raise ConnectionError("the process has ended")
    return content
