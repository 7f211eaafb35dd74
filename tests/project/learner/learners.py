"""Learners for tests: kernels that run their cells, and the texts that they start from and arrive at."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import rlhf_course
from rlhf_course.course import BY_NAME
from rlhf_course.paths import REPOSITORY

SOLUTIONS = REPOSITORY / "solutions"
NOTEBOOKS = REPOSITORY / "notebooks"

_DRIVER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.rl_next_input = None
answers = sys.stdout
for line in sys.stdin:
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        result = shell.run_cell(json.loads(line), store_history=True)
    error = result.error_before_exec or result.error_in_exec
    told = {"output": shown.getvalue(), "error": type(error).__name__ if error else None, "next": shell.rl_next_input}
    shell.rl_next_input = None
    print(json.dumps(told), file=answers, flush=True)
"""


class Shown(NamedTuple):
    """What a cell showed: its text, the name of an exception that escaped, and a cell that was put below."""

    output: str
    error: str | None
    next_cell: str | None


class Kernel:
    """IPython in a process of its own, as a notebook's kernel is."""

    def __init__(self, workspace: Path) -> None:
        environment = {**os.environ, **learner_environment()}
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", _DRIVER],
            cwd=workspace,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.run("import rlhf_course.notebook\nfrom rlhf_course import check, hint, load, progress, reset")

    def run(self, cell: str) -> Shown:
        self._process.stdin.write(json.dumps(cell) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Shown(answer["output"], answer["error"], answer["next"])

    def exercise(self, name: str, text: str, flags: str = "") -> Shown:
        return self.run(f"%%exercise {name} {flags}\n{text}")

    def value(self, expression: str) -> str:
        return self.run(f"print(({expression}))").output.strip()

    def end(self) -> None:
        """End the process; a second call does nothing."""
        if self._process.poll() is not None:
            return
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def learner_environment() -> dict[str, str]:
    """Variables with which a learner's process finds this very package, on one thread."""
    package = str(Path(rlhf_course.__file__).resolve().parents[1])
    return {"PYTHONPATH": package, "OMP_NUM_THREADS": "1", "RLHF_COURSE_DEVICE": "cpu", "JUPYTER_PLATFORM_DIRS": "1"}


def answer_text(name: str) -> str:
    """The reference answer's text."""
    return (SOLUTIONS / BY_NAME[name].path).read_text()


def stub_text(name: str) -> str:
    """The stub's text, as a cell holds it."""
    return (NOTEBOOKS / BY_NAME[name].path).read_text().rstrip()
