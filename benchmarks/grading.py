"""How fast submissions are graded, beside nbgrader's own autograding of the same answers, in one run.

`python benchmarks/grading.py` writes benchmarks/results/grading.json. The submissions are six whole sets of answers, right and
wrong. Here each is handed in several times over and judged in sandboxes by the hidden suite. For nbgrader each becomes a notebook:
a cell with the answer, and a locked cell that runs the same hidden tests on it in the kernel, which nbgrader executes.
"""

import argparse
import json
import os
import platform
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
from nbformat.v4 import new_code_cell, new_notebook

from rlhf_course.building.bank import bank_file, read_bank
from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.grading.commands import EXAMPLES
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, read_submission
from rlhf_course.learner_package import use_code
from rlhf_course.paths import REPOSITORY

RESULTS = Path(__file__).parent / "results" / "grading.json"
ASSIGNMENT = "part1"
TEST = """from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.judge.suite import run_suite

results = run_suite(LocalAnswers({{"{name}": {name}}}), ["{name}"])["{name}"]
assert all(result.status == "passed" for result in results), [result.message for result in results]"""
OPENING = "from rlhf_course import use_code\n\nuse_code()  # what the trainer looks up is the reference's"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
_CONFIG = """c = get_config()
c.CourseDirectory.course_id = "bench"
c.ExecutePreprocessor.timeout = 300
"""


def answer_sets() -> list[dict[str, str]]:
    """Six sets of answers, as the text of a file by its name: the examples, and three mixed from the bank."""
    sets = [dict(read_submission(SubmissionPath(path.name, path)).files) for path in sorted(EXAMPLES.iterdir())]
    use_code()  # the bank looks answers up in the reference's package
    chance = random.Random(0)
    for _ in range(3):
        mixed = {}
        for exercise in EXERCISES:
            path = bank_file(REPOSITORY, exercise)
            bank = read_bank(path)
            name = chance.choice(list(chance.choice([bank.visible, bank.right])))
            mixed[exercise.path] = f"{path.read_text()}\n\n{exercise.name} = {name}\n"
        sets.append(mixed)
    return sets


def ours(sets: list[dict[str, str]], folder: Path, copies: int, workers: int) -> dict:
    """Grade the sets with the judge, each several times over."""
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
        "median_seconds_a_submission": round(statistics.median(one["seconds"] for one in results), 2),
        "peak_memory_gb": round(max(peak) / 1e9, 2),
    }


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Watch the memory of a process and all that it starts: what each has to itself, and its share of what is shared."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(2):  # looking costs time, which is counted
            total = 0
            try:
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in family:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # it has ended meanwhile
                    continue
            seen.append(total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def nbgraders(sets: list[dict[str, str]], folder: Path) -> dict:
    """Grade the sets with `nbgrader autograde`, each once."""
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
    """What the processes that this one started, and that have ended, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nbgrader(course: Path, *arguments: str) -> None:
    # nbgrader starts `alembic` by name.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(
        command, cwd=course, env=os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"nbgrader {arguments[0]} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")


def write_notebook(folder: Path, files: dict[str, str]) -> None:
    """A notebook that holds each answer, and after it a cell that tests it in the kernel."""
    cells = [new_code_cell(OPENING)]
    for exercise in EXERCISES:
        cells.append(
            new_code_cell(
                answer_text(files, exercise), metadata={"nbgrader": marks(f"answer-{exercise.name}", solution=True)}
            )
        )
        test = TEST.format(name=exercise.name)
        cells.append(
            new_code_cell(
                test,
                metadata={"nbgrader": marks(f"test-{exercise.name}", grade=True, locked=True, points=exercise.points)},
            )
        )
    folder.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "answers.ipynb")


def answer_text(files: dict[str, str], exercise: Exercise) -> str:
    """What a set answers to an exercise; a stub where it answers nothing."""
    return files.get(exercise.path, f"def {exercise.name}(*args, **kwargs):\n    raise NotImplementedError\n")


def marks(grade_id: str, **given: object) -> dict:
    """nbgrader's metadata of a cell."""
    return {
        "grade": False,
        "locked": False,
        "solution": False,
        "task": False,
        "schema_version": 3,
        "grade_id": grade_id,
    } | given


def main() -> None:
    """Run both and write what came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=20, help="how often each set is handed in to our judge")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    sets = answer_sets()
    folder = Path(tempfile.mkdtemp(prefix="grading-benchmark-"))
    try:
        found = {
            "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
            "ours": ours(sets, folder, options.copies, options.workers),
        }
        print(json.dumps(found["ours"]))
        found["nbgrader_autograde"] = nbgraders(sets, folder)
        print(json.dumps(found["nbgrader_autograde"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rates = [found[one]["submissions_a_minute"] for one in ("ours", "nbgrader_autograde")]
    found["times_as_fast"] = round(rates[0] / rates[1], 1)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['times_as_fast']} times as many a minute")


if __name__ == "__main__":
    main()
