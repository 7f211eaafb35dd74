"""Call the Linux system calls that a sandbox needs and that Python 3.11 does not wrap."""

import ctypes
import os
import platform
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
_CLONE_THREAD = 0x10000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_SECCOMP_MODE_FILTER, _CAP_SYS_ADMIN = 2, 21
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_HUGE_PAGE, _MADV_COLLAPSE = 2**21, 25
_LANDLOCK_RULE_PATH_BENEATH, _LANDLOCK_CREATE_RULESET_VERSION = 1, 1
# The number of access rights to files that Landlock knows in its first versions: the second added links between
# folders, the third truncating, the fifth ioctl on devices. Later versions know no others.
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
# The rights to execute a file, to read a file and to list a folder; and those that a rule on a file may hold: to
# execute, write, read and truncate it, and ioctl.
_LANDLOCK_READ, _LANDLOCK_OF_FILE = 0b1101, 0b111 | 1 << 14 | 1 << 15

# System calls that were added since Linux 5.0 have the same number on every architecture; older ones do not.
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "clone": 56},
    "aarch64": {"pivot_root": 41, "capset": 91, "clone": 220},
}
_MOUNT_SETATTR, _CLONE3 = 442, 435
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# The seccomp filter refuses the system calls that no answer needs and that would help one to escape: new processes and
# programs, sockets, other processes' memory, namespaces and mounts, memory that no limit counts, and rarely used parts
# of the kernel. The numbers stand in this order:
# fork vfork execve execveat, socket, ptrace process_vm_readv process_vm_writev kcmp, unshare setns mount umount2
# pivot_root chroot, shmget semget msgget mq_open memfd_create, bpf perf_event_open userfaultfd, add_key request_key
# keyctl, name_to_handle_at open_by_handle_at fanotify_init, init_module finit_module delete_module kexec_load
# kexec_file_load reboot, swapon swapoff quotactl acct syslog personality, settimeofday clock_settime adjtimex
# clock_adjtime, setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr, utimensat; and on x86 utime utimes
# futimesat, iopl ioperm modify_ldt. Landlock does not know of the attributes and times of files.
_REFUSED = {
    "x86_64": "57 58 59 322 41 101 310 311 312 272 308 165 166 155 161 29 64 68 240 319 321 298 323 248 249 250 303 "
    "304 300 175 313 176 246 320 169 167 168 179 163 103 135 164 227 159 305 188 189 190 197 198 199 280 132 235 261 "
    "172 173 154",
    "aarch64": "221 281 198 117 270 271 272 97 268 40 39 41 51 194 190 186 180 279 280 241 282 217 218 219 264 265 "
    "262 105 273 106 104 294 142 224 225 60 89 116 92 170 112 171 266 5 6 7 14 15 16 88",
}
# io_uring_setup io_uring_enter io_uring_register, open_tree move_mount fsopen fsconfig fsmount fspick, pidfd_open
# pidfd_getfd, mount_setattr, quotactl_fd, memfd_secret, setxattrat, removexattrat, open_tree_attr, file_setattr.
# On every architecture, the two lists were made from the calls up to this number, the last one of Linux 6.17
# (file_setattr). The filter lets the kernel answer a later one as if it did not exist. Whoever raises the number adds
# those to the lists that no answer needs.
HIGHEST_REVIEWED = 469
_REFUSED_ON_EVERY_ARCHITECTURE = "425 426 427 428 429 430 431 432 433 434 438 442 443 447 463 466 467 469"

_libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


def _check(result: int, call: str) -> int:
    """Return a system call's result, or raise its errno as an OSError that names the call."""
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}")
    return result


def _number(name: str) -> int:
    """Return the number of a system call on this architecture."""
    return _NUMBERS[platform.machine()][name]


def require_supported_platform() -> None:
    """Check that this is Linux on an architecture whose system call numbers this module knows.

    Raises:
        OSError: This is another system or another architecture.
    """
    if platform.system() != "Linux" or platform.machine() not in _NUMBERS:
        raise OSError(f"sandboxes need Linux on x86_64 or aarch64, this is {platform.system()} on {platform.machine()}")


def _syscall(number: int, *args: object, call: str) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *args), call)


def unshare(flags: int) -> None:
    """Move this process to new namespaces of the kinds in `flags`; only later children enter a new pid namespace."""
    _check(_libc.unshare(flags), "unshare")


def setns(pidfd: int, flags: int) -> None:
    """Enter the namespaces of another process, of the kinds in `flags`; only later children enter its pid namespace."""
    _check(_libc.setns(pidfd, flags), "setns")


def mount(source: str, target: Path | str, fstype: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system; see mount(2)."""
    arguments = [os.fsencode(argument) for argument in (source, str(target), fstype)]
    call = f"mount {fstype or source} on {target}"
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()), call)


def bind_mount(source: Path, target: Path) -> None:
    """Mount a file or folder, and everything mounted below it, on a second path."""
    mount(str(source), target, flags=MS_BIND | MS_REC)


def remount_read_only(path: Path) -> None:
    """Make a path and every mount below it read-only and nosuid."""
    attributes = struct.pack("=QQQQ", MS_RDONLY | MS_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, attributes, size, call="mount_setattr")


def pivot_root(new_root: Path, put_old: str) -> None:
    """Make a mount point the root; the old root is then mounted on its folder `put_old`."""
    os.chdir(new_root)
    _syscall(_number("pivot_root"), b".", put_old.encode(), call="pivot_root")
    os.chdir("/")


def umount(path: str) -> None:
    """Detach a mount and everything mounted below it."""
    _check(_libc.umount2(path.encode(), MNT_DETACH), f"umount {path}")


def _prctl(option: int, value: int, call: str) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3), call)


def has_cap_sys_admin() -> bool:
    """Return whether this process has CAP_SYS_ADMIN, which root in a container often lacks."""
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, flags=re.MULTILINE)
    return effective is not None and bool(int(effective[1], 16) >> _CAP_SYS_ADMIN & 1)


def set_parent_death_signal() -> None:
    """Let the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, 9, "PR_SET_PDEATHSIG")


def set_no_new_privs() -> None:
    """Set no_new_privs and empty the bounding set, so that no exec and no change of user can add a capability."""
    for capability in range(64):
        # The result is ignored: dropping fails for a capability that is unknown, or that this process may not drop.
        # no_new_privs alone is sufficient; the bounding set is a second barrier.
        _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")


def drop_capabilities() -> None:
    """Drop every capability, and make this process non-dumpable so that the same user cannot read its memory."""
    _syscall(_number("capset"), struct.pack("=Ii", 0x20080522, 0), bytes(24), call="capset")
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")


def refused_numbers(machine: str) -> list[int]:
    """Return the numbers of the system calls that the filter refuses on an architecture; clone depends on its flags."""
    return [int(number) for number in f"{_REFUSED[machine]} {_REFUSED_ON_EVERY_ARCHITECTURE}".split()]


def install_seccomp_filter() -> None:
    """Let the kernel refuse every later system call that no answer needs: processes, sockets, mounts and others.

    System calls that are newer than this module are refused, too.
    """
    machine = platform.machine()
    program = _seccomp_program(_AUDIT_ARCH[machine], refused_numbers(machine), _number("clone"))
    code = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(code)))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, fprog, 0, 0), "seccomp")


def _seccomp_program(arch: int, refused: Sequence[int], clone: int) -> bytes:
    """Return the BPF program of the filter: instructions of (code, jump if true, jump if false, constant)."""
    load, equal, at_least, any_bit, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, eperm, enosys = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    head = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, arch),
        (ret, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, 0, 1, 0x40000000),  # the x32 ABI of x86_64 has numbers of its own
        (ret, 0, 0, eperm),
        (at_least, 0, 1, HIGHEST_REVIEWED + 1),
        (ret, 0, 0, enosys),
        (equal, 0, 1, _CLONE3),  # its flags are in memory that a filter cannot read; libc then falls back to clone
        (ret, 0, 0, enosys),
        (equal, 0, 3, clone),
        (load, 0, 0, 16),  # the flags of clone: threads are allowed, processes are not
        (any_bit, 0, 2 + len(refused), _CLONE_THREAD),
        (ret, 0, 0, allow),
    ]
    body = [(equal, len(refused) - index, 0, number) for index, number in enumerate(refused)]
    tail = [(ret, 0, 0, allow), (ret, 0, 0, eperm)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in [*head, *body, *tail])


def collapse_into_huge_pages() -> None:
    """Collapse this process's memory into huge pages, because a fork copies one page table entry for each page.

    Kernels before Linux 6.1 do not know MADV_COLLAPSE: forks are slower there, and nothing else changes.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, *_, name = [*line.split(maxsplit=5), ""][:6]
        start, end = (int(address, 16) for address in addresses.split("-"))
        first_page, last_page = -(-start // _HUGE_PAGE), end // _HUGE_PAGE
        if permissions == "rw-p" and name.strip() in ("", "[heap]"):
            for page in range(first_page, last_page):
                _libc.madvise(ctypes.c_void_p(page * _HUGE_PAGE), ctypes.c_size_t(_HUGE_PAGE), _MADV_COLLAPSE)


def landlock_version() -> int:
    """Return the version of this kernel's Landlock, which restricts the files of a process; 0 if there is none."""
    flags = _LANDLOCK_CREATE_RULESET_VERSION
    return max(0, int(_libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), flags)))


def has_landlock() -> bool:
    """Return whether this kernel has Landlock."""
    return landlock_version() > 0


def restrict_files_with_landlock(readable: Sequence[Path], writable: Sequence[Path]) -> None:
    """Let the kernel refuse this process every file outside some paths.

    Args:
        readable: Files and folders that may be read, listed and executed.
        writable: Files and folders that may also be written, created and deleted.

    Raises:
        OSError: This kernel has no Landlock.
    """
    handled = (1 << _LANDLOCK_RIGHTS[min(landlock_version(), max(_LANDLOCK_RIGHTS)) or 1]) - 1
    ruleset = _syscall(_LANDLOCK_CREATE, struct.pack("=Q", handled), ctypes.c_size_t(8), 0, call="landlock")
    for paths, access in ((readable, _LANDLOCK_READ), (writable, handled)):
        for path in paths:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = access if path.is_dir() else access & _LANDLOCK_OF_FILE
            rule = struct.pack("=Qi", allowed, descriptor)
            _syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0, call="landlock")
            os.close(descriptor)
    _syscall(_LANDLOCK_RESTRICT, ruleset, 0, call="landlock")
    os.close(ruleset)
