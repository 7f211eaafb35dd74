"""Run the process of a `LimitedProcess`: set its limits, and answer requests until its input ends."""

import importlib
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

try:
    import resource
except ImportError:  # There is none on Windows.
    resource = None  # type: ignore[assignment]

_SIZE_BYTES = 8
_MEGABYTE = 2**20
# An unpacked tar is the largest file that is written.
_MAX_WRITTEN_FILE = 256 * _MEGABYTE


def main(cpu_seconds: int, memory: int) -> None:
    """Answer requests from standard input on standard output.

    Args:
        cpu_seconds: The seconds of processor time of each request.
        memory: The megabytes of address space beyond what is mapped now.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when this process ends.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_memory_and_files(memory)
    while header := sys.stdin.buffer.read(_SIZE_BYTES):
        request = sys.stdin.buffer.read(int.from_bytes(header, "big"))
        _limit_cpu(cpu_seconds)
        _send(replies, _reply(request))


def _reply(request: bytes) -> bytes:
    try:
        function, arguments = json.loads(request)
        module, name = function.split(":")
        result = getattr(importlib.import_module(module), name)(*arguments)
        return json.dumps({"result": result}).encode()
    except MemoryError:
        return b'{"error": "MemoryError"}'
    except Exception as error:  # Strangers' data may make a parser raise anything.
        return json.dumps({"error": type(error).__name__}).encode()


def _send(replies: IO[bytes], reply: bytes) -> None:
    replies.write(len(reply).to_bytes(_SIZE_BYTES, "big"))
    replies.write(reply)
    replies.flush()


def _limit_memory_and_files(memory: int) -> None:
    if resource is None:
        return
    _set_limit("RLIMIT_CORE", 0)
    _set_limit("RLIMIT_FSIZE", _MAX_WRITTEN_FILE)
    _set_limit("RLIMIT_AS", _mapped_bytes() + memory * _MEGABYTE)


def _limit_cpu(seconds: int) -> None:
    """Limit the processor time from now on."""
    if resource is None:
        return
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set_limit("RLIMIT_CPU", int(usage.ru_utime + usage.ru_stime) + 1 + seconds)


def _set_limit(name: str, value: int) -> None:
    """Set a soft limit, as far as the hard limit and the system allow."""
    number: Any = getattr(resource, name, None)
    if number is None:
        return
    hard = resource.getrlimit(number)[1]
    with suppress(OSError, ValueError):  # macOS refuses to limit the address space; the deadline remains.
        resource.setrlimit(number, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _mapped_bytes() -> int:
    """Return the bytes of address space that this process has mapped; 0 where the system does not show it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
