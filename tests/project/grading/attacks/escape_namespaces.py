"""Makes namespaces and mounts, changes its root, loads kernel modules and tries to regain capabilities."""
# message: PermissionError

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def compute_advantages(values, rewards, prefix_len):
    done = []
    attempts = {
        "unshare": lambda: libc.unshare(0x10000000 | 0x20000),
        "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, b""),
        "remount": lambda: libc.mount(b"none", b"/", None, 32 | 4096, None),
        "umount": lambda: libc.umount2(b"/proc", 2),
        "chroot": lambda: libc.chroot(b"/"),
        "setns": lambda: libc.setns(os.open("/proc/1/ns/mnt", 0), 0),
        "setuid": lambda: libc.setresuid(0, 0, 0),
        "keyctl": lambda: libc.syscall(250, 0, -3, 0),
        "bpf": lambda: libc.syscall(321, 0, 0, 0),
        "io_uring": lambda: libc.syscall(425, 8, ctypes.create_string_buffer(120)),
        "perf": lambda: libc.syscall(298, ctypes.create_string_buffer(120), 0, -1, -1, 0),
        "mknod": lambda: libc.mknod(b"device", 0o60666, 0x801),
        "hostname": lambda: libc.sethostname(b"mine", 4),
        "clone3": lambda: libc.syscall(435, ctypes.create_string_buffer(88), 88),
        "x32": lambda: libc.syscall(0x40000000 + 57),
    }
    for name, attempt in attempts.items():
        try:
            if attempt() >= 0:
                done.append(name)
        except OSError:
            continue
    if done:
        os._exit(18)
    raise PermissionError("shut in")
