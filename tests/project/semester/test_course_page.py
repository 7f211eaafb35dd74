"""docs/course_toml.md: its example is read, its table of penalties is right, and its commands run."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from rlhf_course.course import DEFAULT_PART
from rlhf_course.course_file import course_file_template, read_course_file
from rlhf_course.late_work import late_penalty
from rlhf_course.learner_package import WORKSPACE_VARIABLES
from rlhf_course.paths import REPOSITORY, SOLUTIONS
from rlhf_course.stubs import is_given

PAGE = (REPOSITORY / "docs/course_toml.md").read_text()
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PART = DEFAULT_PART.name
SCORE, FULL = 70, 80


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the table that begins with a heading."""
    table = PAGE.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_the_example_has_the_points_that_the_page_says(tmp_path):
    (tmp_path / "course.toml").write_text(EXAMPLE)
    course = read_course_file(tmp_path / "course.toml")
    (part,) = course.parts()
    assert f"an answer to all exercises has {part.points:g} points" in PAGE
    assert (
        f"A learner with {course.full[PART]:g} points or more" in PAGE
        and len(part.exercises) == len(DEFAULT_PART.exercises) - 1
    )


def test_the_examples_of_the_guide_can_be_read(tmp_path):
    guide = (REPOSITORY / "docs/instructors_guide.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    settings = [example for example in examples if "[[comment]]" not in example]
    assert settings
    for example in settings:
        (tmp_path / "course.toml").write_text(example)
        assert not read_course_file(tmp_path / "course.toml").late.costs_nothing


def test_each_key_is_in_the_tables(tmp_path):
    named = {row[0].strip("`[]") for row in (*rows("key"), *rows("key of `[late]`"))}
    uncommented = re.sub(r"^# (?=[\w\"@.]+ = )", "", course_file_template(), flags=re.MULTILINE)
    content = tomllib.loads(uncommented)
    assert named == {*content, *content["late"]}


@pytest.mark.parametrize("row", rows("rule"), ids=lambda row: f"{row[0]}, {row[1]}")
def test_a_rule_costs_what_the_table_says(row, tmp_path):
    rule, handed_in, subtracted = row
    entries = rule.strip("`").replace(", ", "\n")
    due = f"2027-03-05T23:59:00+01:00\n[late]\n{entries}\n"
    (tmp_path / "course.toml").write_text(f"[due]\n{PART} = {due}")
    course = read_course_file(tmp_path / "course.toml")
    time = datetime.strptime(f"{handed_in} 2027 +0100", "%d %B %H:%M %Y %z")
    assert late_penalty(course.late, course.due[PART], time, None, SCORE, FULL) == float(subtracted)


class Home:
    """An instructor's home folder, in which the page's commands are run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in WORKSPACE_VARIABLES},
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "utils"),
        }

    def run(self, commands: str) -> str:
        """Run commands in a shell; returns what they print."""
        shell = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(shell, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def play(self, holds: str) -> str:
        """Run the block that holds a command."""
        block = next(block for block in self.blocks if holds in block)
        self.blocks.remove(block)
        return self.run(block)


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(tmp_path):
    """One story: ada has an extension, ben is a day late, and both answered one exercise of 4.5 points."""
    home = Home(tmp_path)
    home.run("rlhf-course new-course rlhf-2027")
    course = tmp_path / "rlhf-2027"
    (course / "course.toml").write_text(EXAMPLE)
    home.play("generate_assignment")
    release = course / "release" / PART
    assert is_given((release / PART / "reward_fn_sentiment_imdb.py").read_text())
    with zipfile.ZipFile(tmp_path / "learners.zip") as bundle:
        notebook = nbformat.reads(bundle.read("rlhf-course/notebooks/09_sentiment.ipynb").decode(), as_version=4)
        assert is_given(bundle.read(f"rlhf-course/notebooks/{PART}/reward_fn_sentiment_imdb.py").decode())
    assert not [cell for cell in notebook.cells if "%%exercise" in cell.source]
    for learner in ("ada", "ben"):
        own = tmp_path / "class" / learner / PART
        shutil.copytree(release / PART, own)
        shutil.copy(SOLUTIONS / PART / "get_logprobs.py", own)
        submitted = shutil.copytree(release, course / "submitted" / learner / PART)
        shutil.copy(SOLUTIONS / PART / "get_logprobs.py", submitted / PART)
        (submitted / "timestamp.txt").write_text("2027-03-06 21:00:00 UTC")
    (tmp_path / "submitted.csv").write_text(
        "learner,time\nada,2027-03-06T22:00:00+01:00\nben,2027-03-06T22:00:00+01:00\n"
    )

    shown = home.play("rlhf-course grade")
    assert "points that they lose: ben -4.5" in shown
    results = json.loads((tmp_path / "results.json").read_text())["submissions"]
    assert [(result["score"], result["late_penalty"], result["max_score"]) for result in results] == [
        (4.5, 0, 80), (4.5, 4.5, 80)
    ]  # fmt: skip
    marks = (tmp_path / "marks.csv").read_text()
    assert "\nada,4.5," in marks and "\nben,0," in marks and "1 day late: 4.5 of 4.5 points" in marks
    assert "RL for language models, 2027" in (tmp_path / "report/index.html").read_text()

    home.play("nbgrader autograde")
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        found = {name: gradebook.find_submission(PART, name) for name in ("ada", "ben")}
        assert [(found[name].score, found[name].late_submission_penalty) for name in found] == [(4.5, 0), (4.5, 4.5)]
    with (course / "moodle.csv").open() as table:
        lines = {row["Username"]: row for row in csv.DictReader(table)}
    assert lines["ben"]["Feedback comments"].startswith("handed in 2027-03-06 22:00, due 2027-03-05 23:59 (UTC+01:00)")
    assert not home.blocks, "every command of the page was run"
