"""Measure start-up times: `python benchmarks/startup.py ["a first check" …]`

Each is measured in a process of its own: importing the course, the first check of a function in a fresh process and one
after it, `rlhf-course --help`, and everything up to the end of a first phase with the embedded model.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import REPEATS, earlier_results, measurement, processor, spread

from rlhf_course.course import DEFAULT_PART
from rlhf_course.paths import SOLUTIONS

SNIPPETS = {
    "python itself": "pass",
    "import rlhf_course": "import rlhf_course",
    "rlhf-course --help": "import sys; sys.argv = ['rlhf-course', '--help']; from rlhf_course.cli import main; main()",
    "import torch and TransformerLens": "import rlhf_course; rlhf_course.load_model",
    "a first check": "from rlhf_course import check\nassert check('normalize_reward').status == 'passed'",
    "a first phase": (
        "import tempfile; from rlhf_course import RLHFArgs, use_code; use_code(); from part1_rlhf import RLHFTrainer\n"
        "args = RLHFArgs.for_profile('laptop', 'collapse', total_phases=1)\n"
        "RLHFTrainer(args).train(tempfile.mkdtemp() + '/run', show=False)"
    ),
}
WARM_CHECK = (
    SNIPPETS["a first check"]
    + "\nimport time\nbegan, used = time.perf_counter(), time.process_time(); check('normalize_reward')\n"
    "print(time.perf_counter() - began, time.process_time() - used)"
)


def seconds(snippet: str) -> tuple[float, float]:
    """Run a snippet in a new process, and return its wall time and its CPU time."""
    began, children = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", snippet], check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = ended.ru_utime + ended.ru_stime - children.ru_utime - children.ru_stime
    return time.perf_counter() - began, used


def warm_check() -> tuple[float, float]:
    """Return wall and CPU time of a second check of the same function, in a process of its own."""
    output = subprocess.run([sys.executable, "-c", WARM_CHECK], check=True, capture_output=True, text=True).stdout
    clock, used = map(float, output.split()[-2:])
    return clock, used


def main() -> None:
    """Measure the named start-ups, or all, and write the results."""
    names = sys.argv[1:] or [*SNIPPETS, "a second check"]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as workspace, measurement("startup") as results:
        shutil.copytree(SOLUTIONS / DEFAULT_PART.name, Path(workspace) / DEFAULT_PART.name)
        os.environ["RLHF_COURSE_WORKSPACE"] = workspace  # its answers are checked
        for _ in range(REPEATS):
            for name in names:
                times[name].append(warm_check() if name == "a second check" else seconds(SNIPPETS[name]))
        earlier = earlier_results("startup").get(processor(), {"startup": {}})["startup"] if sys.argv[1:] else {}
        results["startup"] = earlier | {
            name: {"seconds": spread([clock for clock, _ in pairs]), "cpu_seconds": spread([used for _, used in pairs])}
            for name, pairs in times.items()
        }


if __name__ == "__main__":
    main()
