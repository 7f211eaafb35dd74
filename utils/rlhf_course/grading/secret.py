"""Read, create and fingerprint a course's secret, from which the hidden tests draw their inputs."""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_course.errors import CourseError

_BYTES = 32
_FORMAT = re.compile(rb"[0-9a-f]{64}\n?")


@dataclass(frozen=True)
class Secret:
    """The secret of a course.

    Attributes:
        key: 32 bytes. They are not part of the repr, so that no log holds them.
    """

    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """A short hash, by which results name the secret that they were made with."""
        return hashlib.sha256(b"rlhf-course secret\0" + self.key).hexdigest()[:16]


# Inputs that everybody may know: for the course's own examples, and for authors who run the hidden tests by hand.
PUBLIC = Secret(bytes(_BYTES))


def public_secret(number: int) -> Secret:
    """Return one of many secrets that everybody may know, for tests and benchmarks of the hidden tests."""
    return Secret(hashlib.sha256(f"rlhf-course public secret {number}".encode()).digest())


def default_secret_file() -> Path:
    """The file in the user's data folder that holds the secret of `rlhf-course grade`."""
    import platformdirs  # Only this function needs it, and `--help` should be quick.

    return Path(platformdirs.user_data_dir("rlhf-course")) / "secret"


def read_secret(path: Path) -> Secret:
    """Read a secret.

    Raises:
        CourseError: The file is missing, cannot be read, holds no secret, or others may read it.
    """
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise CourseError(f"the secret {path} cannot be read: {error.strerror}") from error
    if not _FORMAT.fullmatch(content):
        raise CourseError(f"{path} holds no secret, which is a line of {2 * _BYTES} hexadecimal digits")
    if os.name == "posix" and mode & 0o077:
        raise CourseError(f"other users may read or change the secret {path}: run `chmod 600 {path}`")
    return Secret(bytes.fromhex(content.decode().strip()))


def new_secret() -> Secret:
    """Return a new random secret."""
    return Secret(secrets.token_bytes(_BYTES))


def format_secret(secret: Secret) -> bytes:
    """Return the content of the file that holds a secret."""
    return secret.key.hex().encode() + b"\n"


def create_secret(path: Path) -> Secret:
    """Write a new secret to a new file that only this user may read.

    Raises:
        CourseError: The file exists, or cannot be written.
    """
    secret = new_secret()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(format_secret(secret))
    except OSError as error:
        raise CourseError(f"the secret {path} cannot be written: {error.strerror}") from error
    return secret


def read_or_create_secret(path: Path) -> Secret:
    """Read a secret, which is created if the file does not exist.

    Raises:
        CourseError: See `read_secret` and `create_secret`.
    """
    return read_secret(path) if path.exists() else create_secret(path)
