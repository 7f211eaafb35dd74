"""Measure how long the self-checks take in a warm kernel: `python benchmarks/check_speed.py`.

Each check runs on the reference answer, and on the known mistake whose diagnosis takes longest to reach: the last one.
The figures go to `results/check_speed.json`.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import measurement, time_in_turn

from rlhf_course import check
from rlhf_course.bank import bank_file, read_bank
from rlhf_course.course import EXERCISES, PARTS
from rlhf_course.learner_package import imported_answer
from rlhf_course.paths import REPOSITORY, SOLUTIONS


def silent(call: Callable[[], object]) -> Callable[[], None]:
    """Return a call that prints nothing."""

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            call()

    return run


def main() -> None:
    """Measure the check of every exercise, and write the results."""
    with tempfile.TemporaryDirectory() as workspace, measurement("check_speed") as results:
        for part in PARTS:
            shutil.copytree(SOLUTIONS / part.name, Path(workspace) / part.name)
        os.environ["RLHF_COURSE_WORKSPACE"] = workspace
        checks = results["checks"] = {}
        for exercise in EXERCISES:
            mistake = list(read_bank(bank_file(REPOSITORY, exercise)).visible.values())[-1]
            variants = {"right": imported_answer(exercise.name), "wrong": mistake}
            checks[exercise.name] = time_in_turn(
                {kind: silent(partial(check, answer, exercise.name)) for kind, answer in variants.items()}
            )
            print(
                exercise.name,
                {kind: round(times["seconds"]["median"], 3) for kind, times in checks[exercise.name].items()},
            )


if __name__ == "__main__":
    main()
