"""Measure `nbgrader autograde` with the course's judge and with nbgrader's own execution, and size a large class.

    python benchmarks/autograding.py                       # 50 submissions, 2 of them by nbgrader's own execution
    python benchmarks/autograding.py --stock 50            # nbgrader's own execution on all; takes an hour or more

Every submission holds the reference answers with a comment of its own, so that no result can be shared. Both ways run
in one go on one machine. nbgrader executes one submission after the other, so its time for more of them is in
proportion. Core seconds are what the processes used, which other work on the machine changes little. tables.py makes
the tables of docs/at_scale.md.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from harness import measurement

from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.nbgrader_course.new_course import new_course
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import CODE_STUB

NBGRADER = Path(sys.executable).parent / "nbgrader"
# The settings of the course without the judge.
_STOCK_SETTINGS = f"""c = get_config()
c.CourseDirectory.course_id = "stock"
c.ClearSolutions.code_stub = {{"python": {CODE_STUB!r}}}
c.Autograde.exclude_overwriting = {{"part1_rlhf": FILES}}
"""


def measure(submissions: int, stock: int) -> dict[str, float]:
    """Run `nbgrader autograde` both ways, and return the figures by name."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        new_course(course)
        _run(course, "generate_assignment", DEFAULT_PART.name)
        for number in range(submissions):
            _submit_reference(course, number)
        figures: dict[str, float] = {"submissions": submissions}
        with measured(figures, "judged"), peak_memory(figures):
            _run(course, "autograde", DEFAULT_PART.name)
        with measured(figures, "written"):
            _run(course, "autograde", DEFAULT_PART.name, "--force")
        with measured(figures, "start"):  # all is graded already: this is what the command itself costs
            _run(course, "autograde", DEFAULT_PART.name)
        with measured(figures, "feedback"):
            _run(course, "generate_feedback", DEFAULT_PART.name)
        if stock:
            _make_stock(course, stock)
            figures["stock_submissions"] = stock
            with measured(figures, "stock"):
                _run(course, "autograde", DEFAULT_PART.name)
    return figures


@contextmanager
def measured(figures: dict[str, float], name: str) -> Iterator[None]:
    """Store the seconds of the block, and the core seconds of the child processes that ended during it."""
    began, began_used = time.perf_counter(), _core_seconds()
    yield
    figures |= {
        f"{name}_seconds": round(time.perf_counter() - began, 2),
        f"{name}_core_seconds": round(_core_seconds() - began_used, 2),
    }


def _core_seconds() -> float:
    """Return the core seconds of the child processes that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


@contextmanager
def peak_memory(figures: dict[str, float]) -> Iterator[None]:
    """Store the peak memory in gigabytes of the child processes during the block; shared pages count once."""
    ended, peak = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(1):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # the process has ended
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    ended.set()
    watcher.join()
    figures["peak_gigabytes"] = round(peak[0] / 2**30, 2)


def _submit_reference(course: Path, number: int) -> None:
    """Add a submission of the reference answers, whose files end with a comment of their own."""
    folder = course / "submitted" / f"s{number}" / DEFAULT_PART.name
    shutil.copytree(course / "release" / DEFAULT_PART.name, folder)
    for exercise in EXERCISES:
        answer = (SOLUTIONS / DEFAULT_PART.name / exercise.file).read_text()
        (folder / DEFAULT_PART.name / exercise.file).write_text(f"{answer}\n# submission {number}\n")


def _make_stock(course: Path, count: int) -> None:
    """Configure the course so that nbgrader executes the notebooks itself, and keep its first `count` submissions."""
    files = [f"{DEFAULT_PART.name}/{exercise.file}" for exercise in EXERCISES]
    (course / "nbgrader_config.py").write_text(_STOCK_SETTINGS.replace("FILES", repr(files)))
    for name in ("autograded", ".rlhf_course"):
        shutil.rmtree(course / name)
    (course / "gradebook.db").unlink()
    for folder in sorted((course / "submitted").iterdir())[count:]:
        shutil.rmtree(folder)
    _run(course, "generate_assignment", DEFAULT_PART.name, "--force")


def _run(course: Path, *arguments: str) -> None:
    """Run a command of nbgrader in the course."""
    # nbgrader's own execution trains in notebooks 8 and 9; two phases are enough for the comparison.
    environment = {**os.environ, "RLHF_COURSE_SHORT": "1", "PATH": f"{NBGRADER.parent}:{os.environ['PATH']}"}
    process = subprocess.run([NBGRADER, *arguments], cwd=course, env=environment, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"nbgrader {' '.join(arguments)} failed:\n{process.stderr[-2000:]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=50)
    parser.add_argument("--stock", type=int, default=2, help="submissions for nbgrader's own execution; 0 for none")
    options = parser.parse_args()
    with measurement("autograding") as results:
        results |= measure(options.submissions, options.stock)
