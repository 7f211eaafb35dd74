"""Write files atomically, lock them, and load modules from them: one way for each, below everybody who uses it."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from filelock import FileLock


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Replace a file as a whole: a reader sees the old content or the new one.

    Yields: the path of a temporary file in the same folder. It takes the place of `path` when the block ends, and is
        deleted when the block raises.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8 and with the line ends that the text has."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def file_lock(path: Path, timeout: float = -1) -> FileLock:
    """A lock that processes share through a file; use it as a context manager.

    Args:
        timeout: seconds to wait for it, after which `filelock.Timeout` is raised; -1 to wait for ever.
    """
    return FileLock(path, timeout=timeout)


def load_module(path: Path, name: str) -> ModuleType:
    """Import a file as a module, whatever folder it is in.

    Args:
        name: the module's name in `sys.modules`, where `inspect` finds the sources of its classes.

    Raises:
        Exception: whatever the file raises; the module is then not in `sys.modules`.
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
