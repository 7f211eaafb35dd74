"""Measure how OpenMP's threads should wait for each other: `python benchmarks/waiting.py`

Half a phase of the answers on the embedded model is timed with threads that sleep at once, that spin for a moment
first, as the course sets it, and that spin for as long as libgomp lets them by default. Each is measured on the machine
as it is, and beside one program that keeps a core busy. A process has one setting from start to end, so each repeat is
a process of its own, and the settings take turns.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import REPEATS, measurement, run_in_process, spread_of, timed
from phase import phase_of, settings

from rlhf_course.learner_package import trainer_class

SPINS = {"sleep at once": 0, "spin for a moment, then sleep": 1000, "spin for long, libgomp's default": 300_000}


def seconds_of_half_a_phase() -> dict[str, float]:
    """Return the seconds of half a phase in this process; the half before it warms up."""
    args = settings("embedded", Path())
    half = replace(args, batch_size=args.batch_size // 2, num_minibatches=args.num_minibatches // 2)
    run = phase_of(trainer_class()(half))
    run()
    return timed(run)[1]


def half_a_phase(spins: int) -> dict[str, float]:
    """Return the seconds of half a phase in a process whose threads look so many times before they sleep."""
    return run_in_process(Path(__file__), "--child", environment={"GOMP_SPINCOUNT": str(spins)})


@contextmanager
def busy_program() -> Iterator[None]:
    """Keep a core busy until the block ends."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def in_turn() -> dict[str, Any]:
    """Return the spread of the seconds with each setting."""
    rounds = [{name: half_a_phase(spins) for name, spins in SPINS.items()} for _ in range(REPEATS)]
    return {name: spread_of([times[name] for times in rounds]) for name in SPINS}


def main() -> None:
    """Measure each setting alone and beside a busy program, and write the results."""
    with measurement("waiting") as results:
        results["alone"] = in_turn()
        with busy_program():
            results["beside a busy program"] = in_turn()


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(seconds_of_half_a_phase()))
    else:
        main()
