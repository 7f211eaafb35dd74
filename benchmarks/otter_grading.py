"""Measure how fast submissions are graded, beside otter-grader (`make otter` installs it into .venv-otter).

The sets of answers are those of `grading.py`. For otter each becomes a notebook of answers, and an autograder archive
holds a test for each exercise, which runs the same hidden tests on what the notebook defines. `otter run` grades one
submission after the other, without its container. Figures go to benchmarks/results/otter_grading.json.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import nbformat
from grading import METADATA, OPENING, TEST, answer_sets, answer_text, core_seconds, grade_with_judge
from harness import measurement
from nbformat.v4 import new_code_cell, new_notebook

from rlhf_course.course import EXERCISES

OTTER_BIN = Path(__file__).resolve().parents[1] / ".venv-otter" / "bin"
_TEST_FILE = """OK_FORMAT = False
from otter.test_files import test_case

name = "{name}"


@test_case(points={points})
def test_answer({name}):
{test}
"""


def grade_with_otter(sets: list[dict[str, str]], folder: Path) -> dict[str, Any]:
    """Grade each set once with `otter run`, and return the figures."""
    tests = folder / "tests"
    tests.mkdir()
    for exercise in EXERCISES:
        test = textwrap.indent(TEST.format(name=exercise.name), "    ")
        (tests / f"{exercise.name}.py").write_text(
            _TEST_FILE.format(name=exercise.name, points=exercise.points, test=test)
        )
    otter(folder, "generate", "-t", "tests", "-o", "autograder.zip", "--no-environment")
    for number, files in enumerate(sets):
        (folder / f"results{number:03}").mkdir()
        write_notebook(folder / f"learner{number:03}.ipynb", files)
    began, used = time.perf_counter(), core_seconds()
    for number in range(len(sets)):
        otter(
            folder, "run", "--no-logo", "-a", "autograder.zip", "-o", f"results{number:03}", f"learner{number:03}.ipynb"
        )
    seconds, cores = time.perf_counter() - began, core_seconds() - used
    scores = [score(folder / f"results{number:03}" / "results.json") for number in range(len(sets))]
    if scores[0] != sum(exercise.points for exercise in EXERCISES):
        raise SystemExit(f"otter gave the finished answers {scores[0]} points: its tests did not run")
    return {
        "submissions": len(sets),
        "seconds": round(seconds, 1),
        "core_seconds": round(cores, 1),
        "submissions_a_minute": round(60 * len(sets) / seconds, 2),
        "scores": scores,
    }


def score(results: Path) -> float:
    """Return the points that otter gave a submission."""
    return sum(test.get("score", 0) for test in json.loads(results.read_text())["tests"])


def otter(folder: Path, *arguments: str) -> None:
    """Run a command of otter in the folder."""
    # The kernel named python3 must be that of otter's environment.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{OTTER_BIN}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        [OTTER_BIN / "otter", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if process.returncode:
        raise SystemExit(f"otter {arguments[0]} ended with exit code {process.returncode}:\n{process.stderr[-2000:]}")


def write_notebook(path: Path, files: dict[str, str]) -> None:
    """Write a notebook with a cell for each answer."""
    cells = [new_code_cell(OPENING), *(new_code_cell(answer_text(files, exercise)) for exercise in EXERCISES)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)


def main() -> None:
    """Grade with both, and write the results."""
    if not (OTTER_BIN / "otter").is_file():
        sys.exit("otter-grader is not installed: `make otter` installs it into .venv-otter")
    sets = answer_sets()
    folder = Path(tempfile.mkdtemp(prefix="otter-benchmark-"))
    try:
        with measurement("otter_grading") as results:
            results["otter_run"] = grade_with_otter(sets, folder)
            results["ours"] = grade_with_judge(sets, folder, copies=20, workers=2)
            rates = [results[grader]["submissions_a_minute"] for grader in ("ours", "otter_run")]
            results["times_as_fast"] = round(rates[0] / rates[1], 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
