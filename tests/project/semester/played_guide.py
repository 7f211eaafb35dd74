"""The instructor's guide, whose commands tests run as they stand there."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat

from rlhf_course.learner_package import WORKSPACE_VARIABLES
from rlhf_course.paths import REPOSITORY

GUIDE = REPOSITORY / "docs/instructors_guide.md"
# Blocks of these stories are played by tests of their own.
STORIES = ("weekly", "parts")


def blocks(story: str = "") -> list[tuple[str, str]]:
    """The guide's commands, block by block, each with who runs it.

    Args:
        story: The first word behind the language of the blocks that are played together; empty for all other blocks.
    """
    found = []
    for words, text in re.findall(r"^```sh([ \w]*)\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        first, *others = words.split() or [""]
        if (first in STORIES and first == story) or (first not in STORIES and not story):
            found.append(((others or [""])[0] if story else first, text))
    return [(who or "instructor", text) for who, text in found]


class Semester:
    """A home for the instructor and each learner, and the guide's blocks played in them."""

    def __init__(self, home: Path, course: str = "rlhf-2027", story: str = "") -> None:
        self.home, self.course = home, home / course
        self.blocks = blocks(story)
        programs = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "utils"),
        }
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "NBGRADER_EXECUTION", *WORKSPACE_VARIABLES):
            self.environment.pop(name, None)

    def run(self, commands: str, learner: str = "") -> str:
        """Run commands in a shell, in the instructor's or a learner's home; returns what they print."""
        home = self.home / learner
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            shell, cwd=home, env={**self.environment, "HOME": str(home)}, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def in_course(self, commands: str) -> str:
        """Run commands in the course's folder."""
        return self.run(f"cd {self.course}\n{commands}")

    def play(self, holds: str) -> str:
        """Play the instructor's next block of the guide, which holds a command."""
        who, commands = next((who, text) for who, text in self.blocks if holds in text)
        self.blocks.remove((who, commands))
        assert who in ("instructor", "zips")
        return self.run(commands)

    def play_learner(self, holds: str, learner: str) -> str:
        """Let a learner play a block of the guide, at home."""
        who, commands = next((who, text) for who, text in self.blocks if holds in text)
        self.blocks.remove((who, commands))
        assert who == "learner"
        return self.run(commands, learner)

    def enroll(self, learner: str) -> None:
        """Make a learner's home, with the settings for learners.

        All learners are one user of this machine; nbgrader would tell them apart by their accounts.
        """
        (self.home / learner).mkdir()
        settings = (self.course / "for_learners/nbgrader_config.py").read_text()
        settings += f'c.CourseDirectory.student_id = "{learner}"\n'
        (self.home / learner / "nbgrader_config.py").write_text(settings)

    def grades(self, file: str = "grades.csv") -> dict[str, dict[str, str]]:
        """Rows of the exported table, by learner."""
        with (self.course / file).open() as table:
            return {row["student_id"]: row for row in csv.DictReader(table)}

    def scores(self) -> dict[str, float]:
        """Scores, exported anew."""
        self.in_course("nbgrader export --to grades.csv")
        return {learner: float(row["score"]) for learner, row in self.grades().items()}


def edit(path: Path, do: Callable[[nbformat.NotebookNode], None]) -> None:
    """Change a notebook's file."""
    notebook = nbformat.read(path, as_version=4)
    do(notebook)
    path.write_text(json.dumps(notebook))


def cell_of(notebook: nbformat.NotebookNode, grade_id: str) -> nbformat.NotebookNode:
    """Return the cell that nbgrader knows by a name."""
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)
