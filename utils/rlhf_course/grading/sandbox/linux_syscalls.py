"""The few calls to the Linux kernel that make a sandbox, and that Python 3.11 has no names for."""

import ctypes
import os
import platform
import re
import struct
from collections.abc import Sequence
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
_CLONE_THREAD = 0x10000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_SECCOMP_MODE_FILTER, _CAP_SYS_ADMIN = 2, 21
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_LARGE_PAGE, _MADV_COLLAPSE = 2**21, 25
_LANDLOCK_RULE_PATH_BENEATH = 1
# Every right that the first version of Landlock knows; reading is to execute, read a file, and list a folder.
_LANDLOCK_ALL, _LANDLOCK_READ = (1 << 13) - 1, 0b1101

# Numbers of system calls on x86_64 and aarch64; calls since Linux 5.0 have one number everywhere.
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "clone": 56},
    "aarch64": {"pivot_root": 41, "capset": 91, "clone": 220},
}
_MOUNT_SETATTR, _CLONE3 = 442, 435
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# What an answer has no use for, and what would help it out: new processes and programs, sockets, other processes'
# memory, namespaces and mounts, memory that no limit counts, and the kernel's rarely used corners. In this order:
# fork vfork execve execveat, socket, ptrace process_vm_readv process_vm_writev kcmp, unshare setns mount umount2
# pivot_root chroot, shmget semget msgget mq_open memfd_create, bpf perf_event_open userfaultfd, add_key request_key
# keyctl, name_to_handle_at open_by_handle_at fanotify_init, init_module finit_module delete_module kexec_load
# kexec_file_load reboot, swapon swapoff quotactl acct syslog personality, settimeofday clock_settime adjtimex
# clock_adjtime; and on x86 iopl ioperm modify_ldt.
_REFUSED = {
    "x86_64": "57 58 59 322 41 101 310 311 312 272 308 165 166 155 161 29 64 68 240 319 321 298 323 248 249 250 303 304 300 "
    "175 313 176 246 320 169 167 168 179 163 103 135 164 227 159 305 172 173 154",
    "aarch64": "221 281 198 117 270 271 272 97 268 40 39 41 51 194 190 186 180 279 280 241 282 217 218 219 264 265 262 "
    "105 273 106 104 294 142 224 225 60 89 116 92 170 112 171 266",
}
# io_uring_setup io_uring_enter io_uring_register, open_tree move_mount fsopen fsconfig fsmount fspick, pidfd_open
# pidfd_getfd, mount_setattr, memfd_secret.
_REFUSED_EVERYWHERE = "425 426 427 428 429 430 431 432 433 434 438 442 447"

_libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _number(name: str) -> int:
    """The number of a system call on this processor."""
    return _NUMBERS[platform.machine()][name]


def require_known_processor() -> None:
    """Ask that this is Linux, on a processor whose system calls are known here.

    Raises:
        OSError: it is not.
    """
    if platform.system() != "Linux" or platform.machine() not in _NUMBERS:
        raise OSError(
            f"sandboxes are known for Linux on x86_64 and aarch64, this is {platform.system()} on {platform.machine()}"
        )


def _syscall(number: int, *args: object, what: str) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *args), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones of the kinds in `flags`; a new pid namespace is for children to come."""
    _checked(_libc.unshare(flags), "unshare")


def enter_namespaces_of(pidfd: int, kinds: int) -> None:
    """Enter a process' namespaces of some kinds; its pid namespace is for children to come."""
    _checked(_libc.setns(pidfd, kinds), "setns")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    words = [os.fsencode(word) for word in (source, str(target), kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mount {kind or source} on {target}")


def bind(source: Path, target: Path) -> None:
    """Show a file or folder, with all that is mounted below it, at another place too."""
    mount(str(source), target, flags=MS_BIND | MS_REC)


def make_read_only(path: Path) -> None:
    """Make everything at and below a path read-only, and without programs that change the user."""
    attributes = struct.pack("=QQQQ", MS_RDONLY | MS_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, attributes, size, what="mount_setattr")


def change_root(new_root: Path, old_root: str) -> None:
    """Make a mount point the root, with the old root in a folder of it."""
    os.chdir(new_root)
    _syscall(_number("pivot_root"), b".", old_root.encode(), what="pivot_root")
    os.chdir("/")


def unmount(path: str) -> None:
    """Take a mount away, with all that is mounted below it."""
    _checked(_libc.umount2(path.encode(), MNT_DETACH), f"umount {path}")


def _prctl(option: int, value: int, what: str) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3), what)


def may_administrate() -> bool:
    """Whether this process has the right to make namespaces of every kind; root in a container often has not."""
    rights = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), flags=re.MULTILINE)
    return bool(rights) and bool(int(rights[1], 16) >> _CAP_SYS_ADMIN & 1)


def die_with_parent() -> None:
    """Have this process killed when its parent goes."""
    _prctl(_PR_SET_PDEATHSIG, 9, "PR_SET_PDEATHSIG")


def forgo_rights() -> None:
    """Never get a right again that this process has not, whatever it runs or becomes."""
    for capability in range(64):
        # Refused where there is nothing to drop, or no right to; no_new_privs is the lock, this is the second one.
        _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")


def drop_rights() -> None:
    """Give up every capability, and close this process' memory to its equals."""
    _syscall(_number("capset"), struct.pack("=Ii", 0x20080522, 0), bytes(24), what="capset")
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")


def refuse_system_calls() -> None:
    """Have the kernel refuse what an answer has no use for, from now on: other processes, sockets, mounts, …"""
    machine = platform.machine()
    clone = _number("clone")
    refused = [int(number) for number in f"{_REFUSED[machine]} {_REFUSED_EVERYWHERE}".split()]
    program = _filter(_AUDIT_ARCH[machine], refused, clone)
    code = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(code)))
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, fprog, 0, 0), "seccomp")


def _filter(arch: int, refused: Sequence[int], clone: int) -> bytes:
    """The filter as the kernel takes it: instructions of (code, jump if true, jump if false, constant)."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, no_permission, no_such_call = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    head = [
        (load, 0, 0, 4),  # the processor's kind
        (equal, 1, 0, arch),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the call's number
        (at_least, 0, 1, 0x40000000),  # calls of x86's x32 have numbers of their own
        (give, 0, 0, no_permission),
        (equal, 0, 1, _CLONE3),  # its flags lie in memory that a filter cannot read; libc then takes clone
        (give, 0, 0, no_such_call),
        (equal, 0, 3, clone),
        (load, 0, 0, 16),  # clone's flags: threads are allowed, processes are not
        (any_bit, 0, 2 + len(refused), _CLONE_THREAD),
        (give, 0, 0, allow),
    ]
    body = [(equal, len(refused) - place, 0, number) for place, number in enumerate(refused)]
    tail = [(give, 0, 0, allow), (give, 0, 0, no_permission)]
    return b"".join(struct.pack("=HBBI", *step) for step in [*head, *body, *tail])


def gather_memory() -> None:
    """Keep this process' memory in large pages where it can be: a fork copies one entry for each page.

    Where the kernel does not know how (before Linux 6.1) forks are slower, and nothing else.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
        first, last = (int(one, 16) for one in place.split("-"))
        first, last = -(-first // _LARGE_PAGE), last // _LARGE_PAGE
        if rights == "rw-p" and name.strip() in ("", "[heap]"):
            for number in range(first, last):
                _libc.madvise(ctypes.c_void_p(number * _LARGE_PAGE), ctypes.c_size_t(_LARGE_PAGE), _MADV_COLLAPSE)


def has_landlock() -> bool:
    """Whether this kernel can restrict the files of a process that is not root."""
    asked_for_version = 1
    return _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), asked_for_version) >= 1


def landlock(readable: Sequence[Path], writable: Sequence[Path]) -> None:
    """Have the kernel refuse every file outside some folders, from now on.

    Raises:
        OSError: this kernel has no Landlock.
    """
    ruleset = _syscall(_LANDLOCK_CREATE, struct.pack("=Q", _LANDLOCK_ALL), ctypes.c_size_t(8), 0, what="landlock")
    for paths, rights in ((readable, _LANDLOCK_READ), (writable, _LANDLOCK_ALL)):
        for path in paths:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            granted = rights if path.is_dir() else rights & 0b111
            rule = struct.pack("=Qi", granted, handle)
            _syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0, what="landlock")
            os.close(handle)
    _syscall(_LANDLOCK_RESTRICT, ruleset, 0, what="landlock")
    os.close(ruleset)
