"""Measure `nbgrader autograde` with the course's judge and with nbgrader's own execution, and size a large class.

    python benchmarks/autograding.py                       # 50 submissions, 2 of them by nbgrader's own execution
    python benchmarks/autograding.py --stock 50            # nbgrader's own execution on all; takes an hour or more

Every submission holds the reference answers with a comment of its own, so that no result can be shared. Both ways run
in one go on one machine. nbgrader executes one submission after the other, so its time for more of them is in
proportion. Core seconds are what the processes used, which other work on the machine changes little. Figures go to
benchmarks/results/autograding.json, and the tables of docs/at_scale.md are made from them.
"""

import argparse
import json
import os
import re
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

from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.nbgrader_course.new_course import new_course
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import CODE_STUB

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results/autograding.json", HERE.parent / "docs/at_scale.md"
NBGRADER = Path(sys.executable).parent / "nbgrader"
CLASS, PRICE = 10_000, 0.05  # submissions; dollars for a core and an hour, a round figure for rented machines
MACHINES = (2, 8, 32, 96)
# What is the same for both ways, without the judge.
_STOCK_SETTINGS = f"""c = get_config()
c.CourseDirectory.course_id = "stock"
c.ClearSolutions.code_stub = {{"python": {CODE_STUB!r}}}
c.Autograde.exclude_overwriting = {{"part1_rlhf": FILES}}
"""


def measure(submissions: int, stock: int) -> dict[str, float]:
    """Run both ways; returns what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        new_course(course)
        _run(course, "generate_assignment", DEFAULT_PART.name)
        for number in range(submissions):
            _hand_in(course, number)
        figures: dict[str, float] = {"submissions": submissions, "cores": os.cpu_count() or 1}
        with measured(figures, "judged"), peak_memory(figures):
            _run(course, "autograde", DEFAULT_PART.name)
        with measured(figures, "written"):
            _run(course, "autograde", DEFAULT_PART.name, "--force")
        with measured(figures, "start"):  # nothing to do: what a command costs by itself
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
    """Note the seconds, and the core seconds of all processes that started in between and ended."""
    began, used = time.perf_counter(), _used()
    yield
    figures |= {
        f"{name}_seconds": round(time.perf_counter() - began, 2),
        f"{name}_core_seconds": round(_used() - used, 2),
    }


def _used() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


@contextmanager
def peak_memory(figures: dict[str, float]) -> Iterator[None]:
    """Note the most gigabytes that processes started from here held in between, shared pages counted once."""
    ended, most = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(1):
            held = 0
            for one in psutil.Process().children(recursive=True):
                try:
                    held += one.memory_full_info().pss
                except psutil.Error:
                    continue  # it ended in between
            most[0] = max(most[0], held)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    ended.set()
    watcher.join()
    figures["peak_gigabytes"] = round(most[0] / 2**30, 2)


def _hand_in(course: Path, number: int) -> None:
    folder = course / "submitted" / f"s{number}" / DEFAULT_PART.name
    shutil.copytree(course / "release" / DEFAULT_PART.name, folder)
    for one in EXERCISES:
        answer = (SOLUTIONS / DEFAULT_PART.name / one.file).read_text()
        (folder / DEFAULT_PART.name / one.file).write_text(f"{answer}\n# submission {number}\n")


def _make_stock(course: Path, kept: int) -> None:
    """Turn the course into one that nbgrader executes, with some of its submissions."""
    files = [f"{DEFAULT_PART.name}/{one.file}" for one in EXERCISES]
    (course / "nbgrader_config.py").write_text(_STOCK_SETTINGS.replace("FILES", repr(files)))
    for name in ("autograded", ".rlhf_course"):
        shutil.rmtree(course / name)
    (course / "gradebook.db").unlink()
    for folder in sorted((course / "submitted").iterdir())[kept:]:
        shutil.rmtree(folder)
    _run(course, "generate_assignment", DEFAULT_PART.name, "--force")


def _run(course: Path, *arguments: str) -> None:
    # nbgrader's own execution trains in notebooks 8 and 9; two phases are enough for the comparison.
    environment = {**os.environ, "RLHF_COURSE_SHORT": "1", "PATH": f"{NBGRADER.parent}:{os.environ['PATH']}"}
    done = subprocess.run([NBGRADER, *arguments], cwd=course, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nbgrader {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


def tables(figures: dict[str, float]) -> dict[str, str]:
    """The page's tables, by the name of their place."""
    count = figures["submissions"]
    serial, shown = (
        (figures[f"{part}_core_seconds"] - figures["start_core_seconds"]) / count for part in ("written", "feedback")
    )
    judging = (figures["judged_core_seconds"] - figures["written_core_seconds"]) / count
    memory = figures["peak_gigabytes"] / figures["cores"]
    measured_rows = [
        "| what | figure |",
        "|---|---|",
        f"| submissions, cores | {count:g}, {figures['cores']:g} |",
        f"| judging | {judging:.1f} core seconds a submission |",
        f"| nbgrader's own part of `autograde` | {serial:.2f} core seconds a submission |",
        f"| `nbgrader generate_feedback` | {shown:.2f} core seconds a submission |",
        f"| memory at its peak | {figures['peak_gigabytes']:.1f} GB, {memory:.1f} GB a core |",
    ]
    if figures.get("stock_submissions"):
        ratios = []
        measured_rows.append(f"| executed by nbgrader too | {figures['stock_submissions']:g} of them |")
        for unit, what in (("seconds", "seconds"), ("core_seconds", "core seconds")):
            stock, ours = figures[f"stock_{unit}"] / figures["stock_submissions"], figures[f"judged_{unit}"] / count
            measured_rows.append(
                f"| `nbgrader autograde`, executing / judging, {what} a submission | {stock:.1f} / {ours:.1f} |"
            )
            ratios.append(f"{stock / ours:.1f} in {what}")
        measured_rows.append(f"| ratio | {', '.join(ratios)} |")
    sizing = ["| cores | memory | judging | nbgrader's part | feedback | dollars |", "|---|---|---|---|---|---|"]
    for machine in MACHINES:
        minutes = CLASS * judging / machine / 60
        cost = PRICE * machine * minutes / 60
        sizing.append(
            f"| {machine} | {machine * memory:.0f} GB | {minutes:.0f} minutes "
            f"| {CLASS * serial / 60:.0f} minutes | {CLASS * shown / 60:.0f} minutes | {cost:.2f} |"
        )
    return {"measured_table": "\n".join(measured_rows), "sizing_table": "\n".join(sizing)}


def write_page(figures: dict[str, float]) -> None:
    """Put the tables in their places on the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables(figures).items():
        text = re.sub(
            f"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda found, table=table: f"{found[1]}{table}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=50)
    parser.add_argument("--stock", type=int, default=2, help="submissions for nbgrader's own execution; 0 for none")
    chosen = parser.parse_args()
    found = measure(chosen.submissions, chosen.stock)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page(found)
    print(*tables(found).values(), sep="\n\n")
