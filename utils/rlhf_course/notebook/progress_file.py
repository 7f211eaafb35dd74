"""The record beside the learner's files, `.progress.json` in the part's folder, shared by all notebooks."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf_course.files import write_text
from rlhf_course.learner_package import PACKAGE

_FILE = ".progress.json"
_PATIENCE = 5.0


def read_state(desk: Path) -> dict[str, Any]:
    """The record of a desk; an empty one where there is none or it is damaged."""
    try:
        state = json.loads((desk / PACKAGE / _FILE).read_text(encoding="utf-8"))
        return state if isinstance(state, dict) else {}
    except (OSError, ValueError):
        return {}


@contextmanager
def changed_state(desk: Path) -> Iterator[dict[str, Any]]:
    """The record, to be changed in place; it is written whole at the end, one notebook at a time.

    Where nothing can be written, the change is lost and the learner's work goes on.
    """
    with _alone(desk / PACKAGE / (_FILE + ".lock")):
        state = read_state(desk)
        yield state
        try:
            write_text(desk / PACKAGE / _FILE, json.dumps(state, indent=1, sort_keys=True) + "\n")
        except OSError:
            pass


def part(state: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A part of the record, made where it is missing."""
    for key in keys:
        if not isinstance(state.get(key), dict):
            state[key] = {}
        state = state[key]
    return state


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock file; one that is older than our patience belongs to nobody any more."""
    deadline = time.monotonic() + _PATIENCE
    held = False
    while not held and time.monotonic() < deadline:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            held = True
        except FileExistsError:
            try:
                if time.time() - lock.stat().st_mtime > _PATIENCE:
                    lock.unlink(missing_ok=True)
            except OSError:
                pass
            time.sleep(0.02)
        except OSError:
            break
    try:
        yield
    finally:
        if held:
            lock.unlink(missing_ok=True)
