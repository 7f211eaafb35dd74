"""Read and write the record of a learner's progress: `.progress.json` in a part's folder, which all notebooks share."""

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
    """Return the record of a part; an empty record if the file is missing or damaged.

    Args:
        part_folder: The part's folder in the workspace.
    """
    try:
        state = json.loads((part_folder / _FILE).read_text(encoding="utf-8"))
        return state if isinstance(state, dict) else {}
    except (OSError, ValueError):
        return {}


@contextmanager
def changed_state(part_folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the record of a part to be changed in place, and write it when the block ends.

    A lock lets one process at a time change the record. If the lock cannot be acquired, the record is written without
    it. If the file cannot be written, the change is lost, but the learner can go on.

    Args:
        part_folder: The part's folder in the workspace.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Timeout, OSError, NotImplementedError):
            stack.enter_context(file_lock(part_folder / f"{_FILE}.lock", timeout=_LOCK_TIMEOUT))
        state = read_state(part_folder)
        yield state
        with contextlib.suppress(OSError):
            write_text(part_folder / _FILE, json.dumps(state, indent=1, sort_keys=True) + "\n")


def section(state: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a dictionary within the record, and create it if it is missing.

    Args:
        state: The record.
        keys: The keys that lead to the dictionary, outermost first.
    """
    for key in keys:
        if not isinstance(state.get(key), dict):
            state[key] = {}
        state = state[key]
    return state
