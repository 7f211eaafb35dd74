"""A class of 200 gets the same results whatever the number of workers, and although grading is killed half-way."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from distributed import Client, LocalCluster
from submission_files import PATH, write_folder
from test_reader import HOSTILE_NOTEBOOKS, UNREADABLE_ARCHIVES

from rlhf_course import use_code
from rlhf_course.bank import bank_file, read_bank
from rlhf_course.course import BY_NAME, DEFAULT_PART, Exercise
from rlhf_course.grading.batch.cluster import Cluster
from rlhf_course.grading.batch.grade_all import grade_all
from rlhf_course.grading.judge.judge import Judge, ResourceLimits
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, require_isolation
from rlhf_course.grading.secret import default_secret_file, read_or_create_secret
from rlhf_course.grading.submissions.parse_submission import list_submissions, parse_submission
from rlhf_course.nbgrader_course.new_course import STATE_FOLDER, new_course
from rlhf_course.paths import REPOSITORY

FUNCTIONS_EACH = 2
# Every 20th submission also holds an answer to an exercise that is a class, which takes longer to grade.
CLASS_INTERVAL = 20
ATTACKS = (
    "exit_at_import", "exit_in_a_call", "fork_bomb", "always_equal_object", "forge_replies", "segmentation_fault",
    "send_noise", "markup_in_names", "nan_results", "daemon", "flood_the_disk", "loop_at_import",
)  # fmt: skip
NOTEBOOKS = ("many dicts", "deep", "a long number", "escapes", "many magics")


def answers_of(exercise: Exercise) -> list[str]:
    """Return the text of a file for each answer in the bank, right or wrong."""
    path = bank_file(REPOSITORY, exercise)
    bank = read_bank(path)
    return [f"{path.read_text()}\n\n{exercise.name} = {name}\n" for name in (*bank.wrong, *bank.right)]


def write_class(folder: Path, count: int) -> Path:
    """Write submissions that mix the bank's answers: a few functions in each, and a class in some."""
    chance = random.Random(0)
    small = {exercise: answers_of(exercise) for exercise in DEFAULT_PART.exercises if exercise.module == exercise.name}
    large = {exercise: answers_of(exercise) for exercise in DEFAULT_PART.exercises if exercise not in small}
    for number in range(count):
        answers = {exercise: chance.choice(small[exercise]) for exercise in chance.sample(list(small), FUNCTIONS_EACH)}
        if number % CLASS_INTERVAL == 0:
            exercise = chance.choice(list(large))
            answers[exercise] = chance.choice(large[exercise])
        package = folder / f"learner{number:03}" / "part1_rlhf"
        package.mkdir(parents=True)
        for exercise, text in answers.items():
            (package / exercise.file).write_text(text)
    return folder


def grade(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Start the grade command."""
    command = [
        sys.executable,
        "-c",
        "from rlhf_course.cli import main; main()",
        "grade",
        "--each",
        str(folder),
        "--json",
        str(out),
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def results(process: "subprocess.Popen[str]", out: Path) -> list[dict[str, Any]]:
    """Return the results that a grade command wrote, without the seconds."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    submissions: list[dict[str, Any]] = json.loads(out.read_text())["submissions"]
    for submission in submissions:
        del submission["seconds"]
    return submissions


@pytest.fixture(autouse=True, scope="module")
def _isolation():
    try:
        require_isolation("namespaces")
    except IsolationUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def class_of_200(tmp_path_factory) -> Path:
    use_code()  # the bank looks answers up in the reference's package
    return write_class(tmp_path_factory.mktemp("class"), 200)


@pytest.fixture(scope="module")
def results_of_200(class_of_200, tmp_path_factory) -> list[dict[str, Any]]:
    """The results with two workers."""
    out = tmp_path_factory.mktemp("results") / "r.json"
    return results(grade(class_of_200, out, "--no-cache", "--workers", "2"), out)


def differing(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[str]:
    """Return the names of the submissions with different results."""
    return [result["name"] for result, other in zip(first, second, strict=True) if result != other]


@pytest.mark.slow
def test_200_submissions_have_the_same_results_with_1_2_and_4_workers(class_of_200, results_of_200, tmp_path):
    assert len(results_of_200) == 200
    statuses = [exercise["status"] for result in results_of_200 for exercise in result["exercises"].values()]
    assert statuses.count("passed") > 60 and statuses.count("failed") > 150, "right and wrong answers are among them"
    for workers in ("1", "4"):
        out = tmp_path / f"{workers}.json"
        assert not differing(results(grade(class_of_200, out, "--no-cache", "--workers", workers), out), results_of_200)


@pytest.mark.slow
def test_a_cluster_gives_the_results_of_a_local_run_although_one_of_its_workers_is_killed_half_way(
    class_of_200, results_of_200
):
    paths = list_submissions([class_of_200], each=True)[:100]
    secret = read_or_create_secret(default_secret_file())  # the one that `rlhf-course grade` has used
    make_judge = partial(Judge, isolation="namespaces", limits=ResourceLimits(), secret=secret)
    done: list[str] = []

    def kill_half_way(_, result):
        done.append(result.name)
        if len(done) == 50:
            os.kill(victim, signal.SIGKILL)

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp") as dask:
        with Client(dask.scheduler_address, set_as_default=False) as client:
            victim = next(iter(client.run(os.getpid).values()))
        with Cluster(make_judge, dask.scheduler_address) as cluster:
            found = [
                result.model_dump(exclude={"seconds"})
                for result in grade_all(map(parse_submission, paths), cluster, None, kill_half_way)
            ]
    assert not differing(found, results_of_200[:100])


@pytest.mark.slow
def test_after_a_run_is_killed_half_way_the_next_one_grades_only_what_is_missing(tmp_path):
    folder, cache = write_class(tmp_path / "class", 40), tmp_path / "cache"
    killed = grade(folder, tmp_path / "r.json", "--cache", str(cache), "--workers", "2")
    while len(list(cache.rglob("*.json"))) < 20:
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    modified = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}
    assert 20 <= len(modified) < 40 and not (tmp_path / "r.json").exists()
    resumed = results(grade(folder, tmp_path / "r.json", "--cache", str(cache), "--workers", "2"), tmp_path / "r.json")
    assert {path: path.stat().st_mtime_ns for path in modified} == modified, "a stored result is not graded again"
    assert resumed == results(grade(folder, tmp_path / "s.json", "--no-cache", "--workers", "2"), tmp_path / "s.json")


def hostile_hand_ins() -> dict[str, dict[str, str | bytes]]:
    """Return the files of thirty hostile hand-ins: archives, notebooks and answers."""
    attacks = {name: (Path(__file__).parent / f"attacks/{name}.py").read_text() for name in ATTACKS}
    archives = {kind.replace(" ", "_"): {name: make()} for kind, (name, make) in UNREADABLE_ARCHIVES.items()}
    notebooks = {kind.replace(" ", "_"): {"a.ipynb": HOSTILE_NOTEBOOKS[kind]()} for kind in NOTEBOOKS}
    return {**archives, **notebooks, **{name: {PATH: text} for name, text in attacks.items()}}


@pytest.mark.slow
def test_in_a_class_where_every_second_hand_in_is_hostile_the_others_have_the_marks_that_they_have_alone(tmp_path):
    hostile = hostile_hand_ins()
    assert len(hostile) == 30
    write_class(tmp_path / "alone", 30)
    folder = write_class(tmp_path / "class", 30)
    for number, (name, files) in enumerate(hostile.items()):
        write_folder(folder / f"learner{number:03}-{name}", files)
    options = ("--no-cache", "--workers", "2", "--timeout", "3", "--submission-timeout", "60")
    alone = results(grade(tmp_path / "alone", tmp_path / "a.json", *options), tmp_path / "a.json")
    tables = ("--csv", str(tmp_path / "c.csv"), "--html", str(tmp_path / "html"))
    together = results(grade(folder, tmp_path / "c.json", *options, *tables), tmp_path / "c.json")
    assert len(together) == 60
    assert not differing([result for result in together if "-" not in result["name"]], alone)
    assert [result["score"] for result in together if "-" in result["name"]] == [0] * 30
    assert sum(result["score"] for result in alone) > 0
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = {row["name"]: float(row["score"]) for row in csv.DictReader(file)}
    assert rows == {result["name"]: result["score"] for result in together}
    pages = {page.stem for page in (tmp_path / "html/learners").glob("*.html")}
    assert len(pages) == 60 and (tmp_path / "html/index.html").is_file()


ASSIGNMENT, NOTEBOOK, TAUGHT = DEFAULT_PART.name, "07_optimizer.ipynb", "get_optimizer"


def write_nbgrader_class(course: Path) -> None:
    """Make a course with one notebook, in which thirty hand in answers of the bank, and thirty hostile files."""
    new_course(course)
    for path in (course / "source" / ASSIGNMENT).glob("*.ipynb"):
        if path.name != NOTEBOOK:
            path.unlink()
    with (course / "nbgrader_config.py").open("a") as file:
        file.write("\nc.JudgedAutograde.timeout = 3\nc.JudgedAutograde.submission_timeout = 60\n")
    nbgrader(course, "generate_assignment")
    texts = answers_of(BY_NAME[TAUGHT])
    for number, (name, files) in enumerate(hostile_hand_ins().items()):
        honest, hostile = (
            shutil.copytree(course / "release" / ASSIGNMENT, course / "submitted" / learner / ASSIGNMENT)
            for learner in (f"learner{number:03}", f"hostile-{name}")
        )
        notebook = nbformat.read(honest / NOTEBOOK, as_version=4)
        cell = next(cell for cell in notebook.cells if cell.source.startswith(f"%%exercise {TAUGHT}"))
        cell.source = f"%%exercise {TAUGHT}\n{texts[number % len(texts)]}"
        nbformat.write(notebook, honest / NOTEBOOK)
        write_folder(hostile, {NOTEBOOK if path == "a.ipynb" else path: text for path, text in files.items()})


def nbgrader(course: Path, *arguments: str) -> None:
    """Run a command of nbgrader in a course, on its only assignment."""
    command = [sys.executable, "-m", "nbgrader", *arguments, *([] if arguments[0] == "export" else [ASSIGNMENT])]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(command, cwd=course, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_in_an_nbgrader_class_where_every_second_hand_in_is_hostile_the_others_have_the_marks_that_they_have_alone(
    tmp_path,
):
    course = tmp_path / "course"
    write_nbgrader_class(course)
    nbgrader(course, "autograde", "--create")
    nbgrader(course, "export")
    with (course / "grades.csv").open(newline="") as file:
        marks = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert len(marks) == 60
    for learner in [name for name in marks if name.startswith("learner")]:
        shutil.copytree(course / "submitted" / learner / ASSIGNMENT, tmp_path / "alone" / learner)
    options = ("--no-cache", "--secret-file", str(course / STATE_FOLDER / "secret"))
    alone = results(grade(tmp_path / "alone", tmp_path / "a.json", *options), tmp_path / "a.json")
    assert {each["name"]: each["exercises"][TAUGHT]["score"] for each in alone} == {
        name: mark for name, mark in marks.items() if name.startswith("learner")
    }
    assert {mark for name, mark in marks.items() if name.startswith("hostile")} == {0}
    nbgrader(course, "generate_feedback")
    assert len(list((course / "feedback").glob(f"*/{ASSIGNMENT}/*.html"))) == 60
