"""How long does `nbgrader autograde` take with the course's judge, how long with nbgrader's own execution, and what does a large class need?

    python benchmarks/autograding.py                       # 50 submissions, 2 of them by nbgrader's own execution
    python benchmarks/autograding.py --stock 50            # nbgrader's own execution on all; takes an hour or more

Every submission holds the reference answers with a comment of its own, so that no result can be shared. Both ways run in one go on one
machine. nbgrader executes one submission after the other, so its time for more of them is in proportion. Figures go to
benchmarks/results/autograding.json, and the tables of docs/at_scale.md are made from them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rlhf_course.code import PACKAGE, SOLUTIONS
from rlhf_course.exercises import EXERCISES
from rlhf_course.nbgrader_course.new_course import ASSIGNMENT, new_course

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results/autograding.json", HERE.parent / "docs/at_scale.md"
NBGRADER = Path(sys.executable).parent / "nbgrader"
CLASS, PRICE = 10_000, 0.05  # submissions; dollars for a core and an hour, a round figure for rented machines
MACHINES = (2, 8, 32, 96)
# What is the same for both ways, without the judge.
_STOCK_SETTINGS = """c = get_config()
c.CourseDirectory.course_id = "stock"
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("write this part")'}
c.Autograde.exclude_overwriting = {"part1_rlhf": FILES}
"""


def measure(submissions: int, stock: int) -> dict[str, float]:
    """Run both ways; returns what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        new_course(course)
        _run(course, "generate_assignment", ASSIGNMENT)
        for number in range(submissions):
            _hand_in(course, number)
        judged, memory = _watched(course, "autograde", ASSIGNMENT)
        again = _timed(course, "autograde", ASSIGNMENT, "--force")
        feedback = _timed(course, "generate_feedback", ASSIGNMENT)
        figures = {"submissions": submissions, "cores": os.cpu_count(), "seconds": judged, "seconds_of_nbgrader": again}
        figures |= {"seconds_of_feedback": feedback, "peak_gigabytes": memory}
        if stock:
            files = [f"{PACKAGE}/{one.file}" for one in EXERCISES]
            (course / "nbgrader_config.py").write_text(_STOCK_SETTINGS.replace("FILES", repr(files)))
            for name in ("autograded", ".rlhf_course"):
                shutil.rmtree(course / name)
            (course / "gradebook.db").unlink()
            for number in range(stock, submissions):
                shutil.rmtree(course / "submitted" / f"s{number}")
            _run(course, "generate_assignment", ASSIGNMENT, "--force")
            figures |= {"stock_submissions": stock, "stock_seconds": _timed(course, "autograde", ASSIGNMENT)}
    return figures


def _hand_in(course: Path, number: int) -> None:
    folder = course / "submitted" / f"s{number}" / ASSIGNMENT
    shutil.copytree(course / "release" / ASSIGNMENT, folder)
    for one in EXERCISES:
        answer = (SOLUTIONS / PACKAGE / one.file).read_text()
        (folder / PACKAGE / one.file).write_text(f"{answer}\n# submission {number}\n")


def _run(course: Path, *arguments: str) -> None:
    # nbgrader's own execution trains in notebooks 8 and 9; two phases are enough for the comparison.
    environment = {**os.environ, "RLHF_COURSE_SHORT": "1", "PATH": f"{NBGRADER.parent}:{os.environ['PATH']}"}
    subprocess.run([NBGRADER, *arguments], cwd=course, env=environment, check=True, capture_output=True)


def _timed(course: Path, *arguments: str) -> float:
    began = time.perf_counter()
    _run(course, *arguments)
    return time.perf_counter() - began


def _watched(course: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of a command, and the most gigabytes that it and its children held, shared pages counted once."""
    began, most = time.perf_counter(), 0
    process = psutil.Popen([str(NBGRADER), *arguments], cwd=course, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        held = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                held += one.memory_full_info().pss
            except psutil.Error:
                continue  # it ended in between
        most = max(most, held)
        time.sleep(1)
    if process.returncode:
        raise SystemExit(f"nbgrader {' '.join(arguments)} failed; run it in a course by hand to see why")
    return time.perf_counter() - began, most / 2**30


def tables(figures: dict[str, float]) -> dict[str, str]:
    """The page's tables, by the name of their place."""
    count, cores = figures["submissions"], figures["cores"]
    serial = figures["seconds_of_nbgrader"] / count
    judging = (figures["seconds"] - figures["seconds_of_nbgrader"]) * cores / count
    memory = figures["peak_gigabytes"] / cores
    measured = [
        "| what | figure |",
        "|---|---|",
        f"| submissions, cores | {count:g}, {cores:g} |",
        f"| `nbgrader autograde` with the judge | {figures['seconds']:.0f} s, {figures['seconds'] / count:.1f} s a submission |",
        f"| of it, nbgrader's own part | {serial:.1f} s a submission, one after the other |",
        f"| judging | {judging:.1f} core seconds a submission |",
        f"| `nbgrader generate_feedback` | {figures['seconds_of_feedback'] / count:.1f} s a submission, one after the other |",
        f"| memory at its peak | {figures['peak_gigabytes']:.1f} GB, {memory:.1f} GB a core |",
    ]
    if figures.get("stock_submissions"):
        stock = figures["stock_seconds"] / figures["stock_submissions"]
        ours = figures["seconds"] / count
        measured.append(f"| nbgrader's own execution, same machine and run | {stock:.0f} s a submission ({figures['stock_submissions']:g} submissions) |")
        measured.append(f"| ratio | {stock / ours:.1f} |")
    sizing = ["| cores | memory | judging | nbgrader's part | feedback | dollars |", "|---|---|---|---|---|---|"]
    written, shown = CLASS * serial / 60, CLASS * figures["seconds_of_feedback"] / count / 60
    for machine in MACHINES:
        minutes = CLASS * judging / machine / 60
        cost = PRICE * machine * minutes / 60
        sizing.append(f"| {machine} | {machine * memory:.0f} GB | {minutes:.0f} minutes | {written:.0f} minutes | {shown:.0f} minutes | {cost:.2f} |")
    return {"measured_table": "\n".join(measured), "sizing_table": "\n".join(sizing)}


def write_page(figures: dict[str, float]) -> None:
    """Put the tables in their places on the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables(figures).items():
        text = re.sub(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text, flags=re.DOTALL)
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
