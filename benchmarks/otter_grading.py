"""Measure how fast submissions are graded, beside otter-grader (`make otter` installs it into .venv-otter).

The sets of answers are those of `grading.py`. For otter each becomes a notebook of answers, and an autograder archive
holds a test for each exercise, which runs the same hidden tests on what the notebook defines; `otter run` grades one
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
from grading import METADATA, OPENING, TEST, answer_sets, answer_text, core_seconds, ours
from nbformat.v4 import new_code_cell, new_notebook

from rlhf_course.course import EXERCISES

HERE = Path(__file__).resolve().parent
PEER, RESULTS = HERE.parent / ".venv-otter" / "bin", HERE / "results" / "otter_grading.json"
_TEST_FILE = """OK_FORMAT = False
from otter.test_files import test_case

name = "{name}"


@test_case(points={points})
def test_answer({name}):
{test}
"""


def otters(sets: list[dict[str, str]], folder: Path) -> dict[str, Any]:
    """Grade the sets with `otter run`, each once."""
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
    """What otter gave a submission, of all its points."""
    return sum(one.get("score", 0) for one in json.loads(results.read_text())["tests"])


def otter(folder: Path, *arguments: str) -> None:
    # The kernel named python3 must be that of otter's environment.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{PEER}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([PEER / "otter", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"otter {arguments[0]} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")


def write_notebook(path: Path, files: dict[str, str]) -> None:
    """A notebook that holds each answer in a cell."""
    cells = [new_code_cell(OPENING), *(new_code_cell(answer_text(files, exercise)) for exercise in EXERCISES)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)


def main() -> None:
    """Run both and write what came."""
    if not (PEER / "otter").is_file():
        sys.exit("otter-grader is not here: `make otter` installs it into .venv-otter")
    sets = answer_sets()
    folder = Path(tempfile.mkdtemp(prefix="otter-benchmark-"))
    try:
        found = {"otter_run": otters(sets, folder)}
        print(json.dumps(found["otter_run"]))
        found["ours"] = ours(sets, folder, copies=20, workers=2)
        print(json.dumps(found["ours"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found["times_as_fast"] = round(
        found["ours"]["submissions_a_minute"] / found["otter_run"]["submissions_a_minute"], 1
    )
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['times_as_fast']} times as many a minute")


if __name__ == "__main__":
    main()
