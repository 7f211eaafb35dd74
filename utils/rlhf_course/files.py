"""Write files atomically, lock them across processes, load modules from them, and escape the cells of tables."""

import importlib.util
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from filelock import FileLock

# A spreadsheet takes a text for a formula that begins with one of these signs, some also in their full-width form.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=[ \u00a0]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])")


@contextmanager
def atomic_write(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Replace a file as a whole, so that a reader sees either the old content or the new one.

    The temporary file has a name of its own, so several processes and threads may write the same path at once; the
    last one to finish wins.

    Args:
        path: The file to replace.
        mode: The permissions of the new file, such as 0o600; None for those that the umask leaves.

    Yields:
        The path of a temporary file in the same folder, to be written to. It replaces `path` when the block ends, and
        is deleted if the block raises.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        if mode is not None:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file atomically, in UTF-8 and with the text's own line ends.

    Args:
        path: The file to replace.
        text: The new content.
        mode: The permissions of the new file; see `atomic_write`.
    """
    with atomic_write(path, mode) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def escape_formula(text: str) -> str:
    """Return a text for a cell of a CSV table, with a quote before all that a spreadsheet would take for a formula.

    Spreadsheets that expect another separator than the comma split the cell at semicolons, tabs and line ends, also
    within quotation marks, so that a formula may follow each of them.
    """
    return _FORMULA.sub(r"\1'", text)


def file_lock(path: Path, timeout: float = -1) -> FileLock:
    """Return a lock that processes share through a file, to be used as a context manager.

    Args:
        path: The lock file, which is created if it does not exist.
        timeout: Seconds to wait for the lock, after which `filelock.Timeout` is raised; -1 waits without limit.
    """
    return FileLock(path, timeout=timeout)


def load_module(path: Path, name: str) -> ModuleType:
    """Import a file as a module, whatever folder it is in.

    Args:
        path: The Python file.
        name: The module's name in `sys.modules`, where `inspect` finds the sources of its classes.

    Raises:
        Exception: What the file raises; the module is then not in `sys.modules`.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file", path=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
