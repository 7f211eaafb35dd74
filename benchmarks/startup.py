"""How long until something happens? `python benchmarks/startup.py`

Each in a process of its own: importing the course, the first check of a function in a fresh process and one after it,
`rlhf-course --help`, and everything up to the end of a first phase with the embedded model.
"""

import resource
import subprocess
import sys
import time

from harness import REPEATS, keep, machine, spread

SNIPPETS = {
    "python itself": "pass",
    "import rlhf_course": "import rlhf_course",
    "rlhf-course --help": "import sys; sys.argv = ['rlhf-course', '--help']; from rlhf_course.cli import main; main()",
    "import torch and TransformerLens": "import rlhf_course; rlhf_course.load_model",
    "a first check": "from rlhf_course import check, use_code; use_code(); check('normalize_reward')",
    "a first phase": (
        "import tempfile; from rlhf_course import RLHFArgs, use_code; use_code(); from part1_rlhf import RLHFTrainer\n"
        "args = RLHFArgs.for_profile('laptop', 'collapse', total_phases=1)\n"
        "RLHFTrainer(args).train(tempfile.mkdtemp() + '/run', show=False)"
    ),
}
WARM_CHECK = (
    "import time; from rlhf_course import check, use_code; use_code(); check('normalize_reward')\n"
    "began, used = time.perf_counter(), time.process_time(); check('normalize_reward')\n"
    "print(time.perf_counter() - began, time.process_time() - used)"
)


def seconds(snippet: str) -> tuple[float, float]:
    """Of a fresh process: by the clock, and of the processor."""
    began, children = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", snippet], check=True, capture_output=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = ended.ru_utime + ended.ru_stime - children.ru_utime - children.ru_stime
    return time.perf_counter() - began, used


def warm_check() -> tuple[float, float]:
    """Of a check after another one of the same function, in a process of its own."""
    shown = subprocess.run([sys.executable, "-c", WARM_CHECK], check=True, capture_output=True, text=True).stdout
    clock, used = map(float, shown.split()[-2:])
    return clock, used


def main() -> None:
    where = machine()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in [*SNIPPETS, "a second check"]}
    for _ in range(REPEATS):
        for name, snippet in SNIPPETS.items():
            taken[name].append(seconds(snippet))
        taken["a second check"].append(warm_check())
    both = {
        name: {"seconds": spread([clock for clock, _ in pairs]), "cpu_seconds": spread([used for _, used in pairs])}
        for name, pairs in taken.items()
    }
    keep("startup", {"machine": where, "startup": both})


if __name__ == "__main__":
    main()
