"""A desk of a learner's own, and kernels at it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from learners import NOTEBOOKS, SOLUTIONS, Kernel

from rlhf_course import use_code
from rlhf_course.learner_package import PACKAGE


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A learner's desk with every stub on it, in use."""
    home = tmp_path / "desk"
    stubs = NOTEBOOKS / PACKAGE
    shutil.copytree(stubs, home / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    monkeypatch.setenv("RLHF_COURSE_DESK", str(home))
    monkeypatch.chdir(home)
    use_code(home)
    yield home
    use_code(SOLUTIONS)


@pytest.fixture
def solved_desk(desk: Path) -> Path:
    """A learner's desk with the reference answers on it."""
    for path in (SOLUTIONS / PACKAGE).glob("*.py"):
        shutil.copy(path, desk / PACKAGE)
    return desk


@pytest.fixture
def kernel(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Kernel]]:
    """Starts kernels at the desk."""
    monkeypatch.delenv("RLHF_COURSE_DESK")
    started: list[Kernel] = []

    def start() -> Kernel:
        started.append(Kernel(desk))
        return started[-1]

    yield start
    for one in started:
        one.end()
