"""Measure how fast submissions are graded, compared with nbgrader's own autograding of the same answers.

`python benchmarks/grading.py` writes benchmarks/results/grading.json. The submissions are six complete sets of answers,
right and wrong. The judge gets several copies of each and runs the hidden suite on them in sandboxes. For nbgrader each
set becomes a notebook: for each exercise a cell with the answer, and a locked cell that runs the same hidden tests on
it in the kernel, which nbgrader executes.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
from harness import measurement
from nbformat.v4 import new_code_cell, new_notebook

from rlhf_course.bank import bank_file, read_bank
from rlhf_course.course import DEFAULT_PART, Exercise
from rlhf_course.grading.commands import EXAMPLES
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, parse_submission
from rlhf_course.learner_package import use_code
from rlhf_course.paths import REPOSITORY

ASSIGNMENT = "part1"
TEST = """from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.judge.suite import run_suite

results = run_suite(LocalAnswers({{"{name}": {name}}}), ["{name}"])["{name}"]
assert all(result.status == "passed" for result in results), [result.message for result in results]"""
OPENING = "from rlhf_course import use_code\n\nuse_code()  # the trainer calls the reference's functions"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
_CONFIG = """c = get_config()
c.CourseDirectory.course_id = "bench"
c.ExecutePreprocessor.timeout = 300
"""


def answer_sets() -> list[dict[str, str]]:
    """Return six sets of answers, each as texts by file path: the examples, and three drawn at random from the bank."""
    sets = [dict(parse_submission(SubmissionPath(path.name, path)).files) for path in sorted(EXAMPLES.iterdir())]
    use_code()  # the bank imports answers from the reference's package
    rng = random.Random(0)
    for _ in range(3):
        answers = {}
        for exercise in DEFAULT_PART.exercises:
            path = bank_file(REPOSITORY, exercise)
            bank = read_bank(path)
            name = rng.choice(list(rng.choice([bank.visible, bank.right])))
            answers[exercise.path] = f"{path.read_text()}\n\n{exercise.name} = {name}\n"
        sets.append(answers)
    return sets


def grade_with_judge(sets: list[dict[str, str]], folder: Path, copies: int, workers: int) -> dict:
    """Grade several copies of each set with the judge, and return the figures."""
    for number in range(copies * len(sets)):
        home = folder / "class" / f"learner{number:03}"
        for name, text in sets[number % len(sets)].items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
    command = [
        sys.executable,
        "-c",
        "from rlhf_course.cli import main; main()",
        "grade",
        "--each",
        str(folder / "class"),
    ]
    command += ["--no-cache", "--workers", str(workers), "--json", str(folder / "results.json")]
    began, used = time.perf_counter(), core_seconds()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with peak_memory(process.pid) as peak:
        code = process.wait()
    seconds = time.perf_counter() - began
    if code != 0:
        raise SystemExit(f"grading ended with exit code {code}")
    results = json.loads((folder / "results.json").read_text())["submissions"]
    return {
        "submissions": len(results),
        "workers": workers,
        "seconds": round(seconds, 1),
        "core_seconds": round(core_seconds() - used, 1),
        "submissions_a_minute": round(60 * len(results) / seconds, 1),
        "median_seconds_a_submission": round(statistics.median(result["seconds"] for result in results), 2),
        "peak_memory_gb": round(max(peak) / 1e9, 2),
    }


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Sample the memory of a process and its children until the block ends.

    Yields: a list of totals in bytes, to which one is added every two seconds. A shared page counts once.
    """
    totals, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(2):  # this thread's own time is part of the measurement
            total = 0
            try:
                processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in processes:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # the process has ended
                    continue
            totals.append(total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield totals
    finally:
        ended.set()
        watcher.join()


def grade_with_nbgrader(sets: list[dict[str, str]], folder: Path) -> dict:
    """Grade each set once with `nbgrader autograde`, and return the figures."""
    course = folder / "course"
    write_notebook(course / "source" / ASSIGNMENT, {})
    (course / "nbgrader_config.py").write_text(_CONFIG)
    nbgrader(course, "generate_assignment", ASSIGNMENT)
    for number, files in enumerate(sets):
        write_notebook(course / "submitted" / f"learner{number:03}" / ASSIGNMENT, files)
    began, used = time.perf_counter(), core_seconds()
    nbgrader(course, "autograde", ASSIGNMENT, "--create")
    seconds, cores = time.perf_counter() - began, core_seconds() - used
    graded = len(list((course / "autograded").glob(f"*/{ASSIGNMENT}/*.ipynb")))
    if graded != len(sets):
        raise SystemExit(f"nbgrader graded {graded} of {len(sets)} submissions")
    rate = round(60 * graded / seconds, 2)
    return {
        "submissions": graded,
        "seconds": round(seconds, 1),
        "core_seconds": round(cores, 1),
        "submissions_a_minute": rate,
    }


def core_seconds() -> float:
    """Return the core seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nbgrader(course: Path, *arguments: str) -> None:
    """Run a command of nbgrader in the course."""
    # nbgrader starts `alembic` by name.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = [sys.executable, "-m", "nbgrader", *arguments]
    process = subprocess.run(
        command, cwd=course, env=os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}, capture_output=True, text=True
    )
    if process.returncode != 0:
        raise SystemExit(
            f"nbgrader {arguments[0]} ended with exit code {process.returncode}:\n{process.stderr[-2000:]}"
        )


def write_notebook(folder: Path, files: dict[str, str]) -> None:
    """Write a notebook with a cell for each answer, followed by a cell that tests it."""
    cells = [new_code_cell(OPENING)]
    for exercise in DEFAULT_PART.exercises:
        cells.append(
            new_code_cell(
                answer_text(files, exercise),
                metadata={"nbgrader": cell_metadata(f"answer-{exercise.name}", solution=True)},
            )
        )
        test = TEST.format(name=exercise.name)
        cells.append(
            new_code_cell(
                test,
                metadata={
                    "nbgrader": cell_metadata(f"test-{exercise.name}", grade=True, locked=True, points=exercise.points)
                },
            )
        )
    folder.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "answers.ipynb")


def answer_text(files: dict[str, str], exercise: Exercise) -> str:
    """Return the text of a set's answer to an exercise, or of a stub where it has none."""
    return files.get(exercise.path, f"def {exercise.name}(*args, **kwargs):\n    raise NotImplementedError\n")


def cell_metadata(grade_id: str, **fields: object) -> dict:
    """Return nbgrader's metadata of a cell; `fields` override the defaults."""
    return {
        "grade": False,
        "locked": False,
        "solution": False,
        "task": False,
        "schema_version": 3,
        "grade_id": grade_id,
    } | fields


def main() -> None:
    """Grade with both, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=20, help="number of copies of each set that the judge grades")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    sets = answer_sets()
    folder = Path(tempfile.mkdtemp(prefix="grading-benchmark-"))
    try:
        with measurement("grading") as results:
            results["ours"] = grade_with_judge(sets, folder, options.copies, options.workers)
            results["nbgrader_autograde"] = grade_with_nbgrader(sets, folder)
            rates = [results[grader]["submissions_a_minute"] for grader in ("ours", "nbgrader_autograde")]
            results["times_as_fast"] = round(rates[0] / rates[1], 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
