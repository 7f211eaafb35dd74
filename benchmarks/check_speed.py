"""Measure how long the self-checks take in a warm kernel: `python benchmarks/check_speed.py`.

Each check runs on the reference answer, and on the known mistake whose diagnosis takes longest to reach: the last one.
The course promises at most half a second, and ten seconds for the trainer. The figures go to
`results/check_speed.json`.
"""

import contextlib
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import measurement

from rlhf_course import check
from rlhf_course.bank import bank_file, read_bank
from rlhf_course.course import EXERCISES, PARTS
from rlhf_course.paths import REPOSITORY, SOLUTIONS

REPEATS = 5
PROMISED = {"RLHFTrainer": 10.0}


def median_seconds(call: Callable[[], object]) -> float:
    """Return the median time of several calls, without the first."""
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])  # the first call warms up


def main() -> None:
    """Measure the check of every exercise, and write the results."""
    with tempfile.TemporaryDirectory() as workspace, measurement("check_speed") as results:
        for part in PARTS:
            shutil.copytree(SOLUTIONS / part.name, Path(workspace) / part.name)
        os.environ["RLHF_COURSE_WORKSPACE"] = workspace
        check("RLHFTrainer")
        seconds = results["seconds"] = {}
        print(f"{'exercise':<32}{'right, s':>10}{'wrong, s':>10}{'promised':>10}")
        for exercise in EXERCISES:
            mistake = list(read_bank(bank_file(REPOSITORY, exercise)).visible.values())[-1]
            right = median_seconds(partial(check, exercise.name))
            wrong = median_seconds(partial(check, mistake, exercise.name))
            promised = PROMISED.get(exercise.name, 0.5)
            seconds[exercise.name] = {"right": round(right, 3), "wrong": round(wrong, 3), "promised": promised}
            print(f"{exercise.name:<32}{right:>10.3f}{wrong:>10.3f}{promised:>10.1f}")


if __name__ == "__main__":
    main()
