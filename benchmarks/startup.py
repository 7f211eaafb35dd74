"""How long until something happens? `python benchmarks/startup.py`

Each in a process of its own: importing the course, the first check of a function in a fresh process and one after it,
`rlhf-course --help`, and everything up to the end of a first phase with the embedded model.
"""

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
    "began = time.perf_counter(); check('normalize_reward'); print(time.perf_counter() - began)"
)


def seconds(snippet: str) -> float:
    """Of a fresh process, by the clock."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", snippet], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    where = machine()
    taken: dict[str, list[float]] = {name: [] for name in [*SNIPPETS, "a second check"]}
    for _ in range(REPEATS):
        for name, snippet in SNIPPETS.items():
            taken[name].append(seconds(snippet))
        shown = subprocess.run([sys.executable, "-c", WARM_CHECK], check=True, capture_output=True, text=True).stdout
        taken["a second check"].append(float(shown.splitlines()[-1]))
    keep("startup", {"machine": where, "seconds": {name: spread(numbers) for name, numbers in taken.items()}})


if __name__ == "__main__":
    main()
