"""A class of 200, graded for good: the number of workers changes no result, nor does being killed half-way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rlhf_course.building.bank import answers_in
from rlhf_course.code import REPOSITORY
from rlhf_course.exercises import EXERCISES, Exercise
from rlhf_course.grading.isolation import IsolationUnavailable, require

BANK = REPOSITORY / "tests" / "hidden"
OFTEN, SELDOM = 3, 10


def answers_of(exercise: Exercise) -> list[str]:
    """The text of a file for each answer in the bank, right or wrong."""
    texts = []
    for kind in ("mistakes", "variants"):
        path = BANK / kind / exercise.file
        texts += [f"{path.read_text()}\n\n{exercise.name} = {name}\n" for name in answers_in(path)]
    return texts


def write_class(folder: Path, count: int) -> Path:
    """Submissions that mix the bank's answers: a few functions each, the classes in some, to keep it quick."""
    chance = random.Random(0)
    small = {exercise: answers_of(exercise) for exercise in EXERCISES if exercise.module == exercise.name}
    large = {exercise: answers_of(exercise) for exercise in EXERCISES if exercise not in small}
    for number in range(count):
        answers = {exercise: chance.choice(small[exercise]) for exercise in chance.sample(list(small), OFTEN)}
        if number % SELDOM == 0:
            exercise = chance.choice(list(large))
            answers[exercise] = chance.choice(large[exercise])
        home = folder / f"learner{number:03}" / "part1_rlhf"
        home.mkdir(parents=True)
        for exercise, text in answers.items():
            (home / exercise.file).write_text(text)
    return folder


def grade(folder: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-c", "from rlhf_course.cli import main; main()", "grade", "--each", str(folder), "--json", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def results(process: subprocess.Popen, out: Path) -> list[dict]:
    """What a run wrote, without how long it took."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    found = json.loads(out.read_text())["submissions"]
    for one in found:
        del one["seconds"]
    return found


@pytest.fixture(autouse=True)
def _isolation():
    try:
        require("namespaces")
    except IsolationUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_200_submissions_have_the_same_results_with_1_2_and_4_workers(tmp_path):
    folder = write_class(tmp_path / "class", 200)
    runs = [results(grade(folder, tmp_path / "r.json", "--no-cache", "--workers", str(workers)), tmp_path / "r.json") for workers in (1, 2, 4)]
    assert len(runs[0]) == 200
    statuses = [one["status"] for result in runs[0] for one in result["exercises"].values()]
    assert statuses.count("passed") > 60 and statuses.count("failed") > 200, "right and wrong answers are among them"
    for other in runs[1:]:
        differing = [one["name"] for one, two in zip(runs[0], other, strict=True) if one != two]
        assert not differing


@pytest.mark.slow
def test_a_run_that_is_killed_half_way_is_taken_up_by_the_next_one(tmp_path):
    folder, kept = write_class(tmp_path / "class", 40), tmp_path / "kept"
    killed = grade(folder, tmp_path / "r.json", "--cache", str(kept), "--workers", "2")
    while len(list(kept.rglob("*.json"))) < 20:
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = {path: path.stat().st_mtime_ns for path in kept.rglob("*.json")}
    assert 20 <= len(done) < 40 and not (tmp_path / "r.json").exists()
    resumed = results(grade(folder, tmp_path / "r.json", "--cache", str(kept), "--workers", "2"), tmp_path / "r.json")
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was done is not done again"
    assert resumed == results(grade(folder, tmp_path / "s.json", "--no-cache", "--workers", "2"), tmp_path / "s.json")
