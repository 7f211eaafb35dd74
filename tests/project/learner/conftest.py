"""A workspace of a learner's own, and kernels at it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from learners import NOTEBOOKS, SOLUTIONS, Kernel

from rlhf_course import use_code
from rlhf_course.course import PARTS


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A learner's workspace with every stub on it, in use."""
    home = tmp_path / "workspace"
    for part in PARTS:
        shutil.copytree(NOTEBOOKS / part.name, home / part.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    monkeypatch.setenv("RLHF_COURSE_WORKSPACE", str(home))
    monkeypatch.chdir(home)
    use_code(home)
    yield home
    use_code(SOLUTIONS)


@pytest.fixture
def solved_workspace(workspace: Path) -> Path:
    """A learner's workspace with the reference answers on it."""
    for part in PARTS:
        for path in (SOLUTIONS / part.name).glob("*.py"):
            shutil.copy(path, workspace / part.name)
    return workspace


@pytest.fixture
def start_kernel(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Kernel]]:
    """Starts kernels at the workspace."""
    monkeypatch.delenv("RLHF_COURSE_WORKSPACE")
    started: list[Kernel] = []

    def start() -> Kernel:
        started.append(Kernel(workspace))
        return started[-1]

    yield start
    for kernel in started:
        kernel.end()
