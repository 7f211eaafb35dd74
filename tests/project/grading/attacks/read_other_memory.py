"""Reads the memory of every other process, by /proc, by ptrace and by process_vm_readv."""
# message: RuntimeError

import ctypes
import glob
import os

libc = ctypes.CDLL(None, use_errno=True)


def compute_advantages(values, rewards, prefix_len):
    got = []
    for path in (
        glob.glob("/proc/[0-9]*/mem") + glob.glob("/proc/[0-9]*/environ") + ["/dev/mem", "/dev/kmem", "/proc/kcore"]
    ):
        if path.split("/")[2] == str(os.getpid()):
            continue
        try:
            with open(path, "rb") as file:
                got.append(file.read(10))
        except OSError:
            continue
    for pid in [1, os.getppid(), *range(2, 300)]:
        if pid != os.getpid() and libc.ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
            got.append(pid)
    if got:
        os.kill(os.getpid(), 9)
    raise RuntimeError("nothing to read")
