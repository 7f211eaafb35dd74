"""The record of a learner's progress: `.progress.json` in a part's folder, which all notebooks share."""

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from rlhf_course.files import file_lock, write_text

_FILE = ".progress.json"
_LOCK_TIMEOUT = 5.0


def read_state(part_folder: Path) -> dict[str, Any]:
    """The record of a part; an empty one where the file is missing or damaged.

    Args:
        part_folder: the part's folder in the workspace.
    """
    try:
        state = json.loads((part_folder / _FILE).read_text(encoding="utf-8"))
        return state if isinstance(state, dict) else {}
    except (OSError, ValueError):
        return {}


@contextmanager
def changed_state(part_folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the record of a part to be changed in place, and write it at the end; one process at a time does so.

    Where the lock cannot be had the record is written without it, and where the file cannot be written the change is
    lost: a learner's work never stops for want of its record.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Timeout, OSError, NotImplementedError):
            stack.enter_context(file_lock(part_folder / f"{_FILE}.lock", timeout=_LOCK_TIMEOUT))
        state = read_state(part_folder)
        yield state
        with contextlib.suppress(OSError):
            write_text(part_folder / _FILE, json.dumps(state, indent=1, sort_keys=True) + "\n")


def section(state: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A dictionary within the record, made where it is missing."""
    for key in keys:
        if not isinstance(state.get(key), dict):
            state[key] = {}
        state = state[key]
    return state
