"""The filter of system calls refuses what its lists name and what is newer than they are, and allows the others."""

import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.linux_syscalls import HIGHEST_REVIEWED, refused_numbers
from rlhf_course.paths import PACKAGE

MACHINES = ["x86_64", "aarch64"]
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
THREAD, CLONE3 = 0x10000, 435
HEADERS = [
    Path(f"/usr/include/{folder}")
    for folder in ("x86_64-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h", "asm-generic/unistd.h")
]
REVIEW = (
    "review the system calls above HIGHEST_REVIEWED in linux_syscalls.py, refuse what no answer needs, and raise it"
)


def answer(machine: str, number: int, argument: int = 0, arch: int | None = None) -> int:
    """Run the filter's program as the kernel does, and return what it says of a system call."""
    own = linux_syscalls._AUDIT_ARCH[machine]
    clone = linux_syscalls._NUMBERS[machine]["clone"]
    program = linux_syscalls._seccomp_program(own, refused_numbers(machine), clone)
    instructions = list(struct.iter_unpack("=HBBI", program))
    assert len(instructions) < 4096
    memory = {0: number, 4: own if arch is None else arch, 16: argument & 0xFFFFFFFF}
    position, loaded = 0, 0
    while True:
        code, if_true, if_false, constant = instructions[position]
        position += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            loaded = memory[constant]
        else:
            holds = {0x15: loaded == constant, 0x35: loaded >= constant, 0x45: bool(loaded & constant)}[code]
            position += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_answers_every_number_as_the_lists_say(machine):
    clone = linux_syscalls._NUMBERS[machine]["clone"]
    refused = set(refused_numbers(machine))
    assert len(refused) == len(refused_numbers(machine)) and max(refused) <= HIGHEST_REVIEWED
    for number in range(HIGHEST_REVIEWED + 200):
        wanted = EPERM if number in refused or number == clone else ALLOW
        wanted = ENOSYS if number > HIGHEST_REVIEWED or number == CLONE3 else wanted
        assert answer(machine, number) == wanted, number


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("number", [470, 512, 547, 1000, 2**20, 2**30 - 1])
def test_a_number_that_is_newer_than_the_lists_does_not_exist(machine, number):
    assert answer(machine, number) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("number", [2**30, 2**30 + 59, 2**31, 2**32 - 1])
def test_numbers_of_another_abi_are_refused(machine, number):
    assert answer(machine, number) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_ends_the_process_and_clone_makes_threads_only(machine):
    clone = linux_syscalls._NUMBERS[machine]["clone"]
    assert answer(machine, 0, arch=0x40000003) == KILL
    assert answer(machine, clone, THREAD | 0x0F00) == ALLOW
    assert answer(machine, clone, 0x0F00) == EPERM


@pytest.mark.parametrize("header", [path for path in HEADERS if path.exists()], ids=str)
def test_the_lists_know_every_system_call_of_the_installed_headers(header):
    numbers = [int(number) for number in re.findall(r"^#define __NR_\w+\s+(\d+)$", header.read_text(), re.MULTILINE)]
    numbers = [number for number in numbers if number < 512]  # The x32 ABI of x86_64 has numbers from 512 on.
    assert len(numbers) > 200 and max(numbers) <= HIGHEST_REVIEWED, REVIEW


# Calls each number with arguments that are no pointer, no file and no process, and prints those that the kernel knows.
PROBE = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
for number in range(int(sys.argv[1]), int(sys.argv[1]) + 40):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    if ctypes.get_errno() != errno.ENOSYS:
        print(number)
"""


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() not in MACHINES, reason="not this kernel")
def test_the_lists_know_every_system_call_of_the_running_kernel():
    known = subprocess.run(
        [sys.executable, "-c", PROBE, str(HIGHEST_REVIEWED + 1)], capture_output=True, text=True, check=True, timeout=60
    )
    assert not known.stdout.split(), f"this kernel knows {known.stdout.split()}: {REVIEW}"


INSTALLED = """
import ctypes, errno, sys
sys.path.insert(0, sys.argv[1])
from rlhf_course.grading.sandbox import linux_syscalls
linux_syscalls.HIGHEST_REVIEWED = int(sys.argv[2])
linux_syscalls.set_no_new_privs()
linux_syscalls.install_seccomp_filter()
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(ctypes.c_long(439), *[ctypes.c_long(-1)] * 4)
print(errno.errorcode[ctypes.get_errno()])
"""


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() not in MACHINES, reason="not this kernel")
@pytest.mark.parametrize(("highest", "error"), [(438, "ENOSYS"), (439, "EINVAL"), (HIGHEST_REVIEWED, "EINVAL")])
def test_the_kernel_runs_the_filter(highest, error):
    """The call number 439, faccessat2, is known to this kernel, and seems unknown if the lists end before it."""
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, str(PACKAGE.parent), str(highest)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == error, done.stderr
