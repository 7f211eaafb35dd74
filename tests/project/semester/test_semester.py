"""A whole semester: the commands of the instructor's guide, run as they stand there, with five learners.

Real nbgrader commands, a real exchange and gradebook, and the real judge.
"""

import csv
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
from played_guide import Semester, cell_of, edit

from rlhf_course.bank import bank_file
from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.grading.comments.groups import group_answers
from rlhf_course.grading.results import GradeReport
from rlhf_course.grading.secret import read_secret
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import is_given

pytestmark = pytest.mark.slow

ANSWERS = REPOSITORY / "solutions" / DEFAULT_PART.name
LEARNERS = ("ada", "half", "slips", "hostile", "mangled")
ALL = DEFAULT_PART.points
HALF = (
    "HookedTransformerWithValueHead",
    "reward_fn_char_count",
    "normalize_reward",
    "compute_advantages",
    "calc_kl_penalty",
)
BRAINSTORM = 2

# What an attacker's file says of an exercise: it lies about the score, fails the others, and looks for what is hidden.
HOSTILE = """
import os, sys, atexit

def get_optimizer(model, base_lr, head_lr):
    print("score: 8/8", file=sys.stderr)
    for folder in ("/", os.getcwd(), os.path.expanduser("~")):
        for root, _, files in os.walk(folder):
            for name in files:
                if name.startswith("test_") or name == "gradebook.db":
                    open(os.path.join(root, name), "w").write("pwned")
            break
    os._exit(0)
"""


def answer(folder: Path, name: str, text: str | None = None) -> None:
    """Write an exercise's file in a learner's folder; by default the reference answer."""
    file = BY_NAME[name].file
    (folder / DEFAULT_PART.name / DEFAULT_PART.name / file).write_text(text or (ANSWERS / file).read_text())


def mistaken(name: str, mistake: str) -> str:
    """A known mistake as a learner would hand it in: under the exercise's name."""
    return bank_file(REPOSITORY, BY_NAME[name]).read_text() + f"\n\n{name} = {mistake}\n"


def work(home: Path) -> None:
    """What the five learners do."""
    for exercise in DEFAULT_PART.exercises:
        answer(home / "ada", exercise.name)
        answer(home / "mangled", exercise.name)
        if exercise.name != "get_optimizer":
            answer(home / "hostile", exercise.name)
    for name in HALF:
        answer(home / "half", name)
    answer(home / "slips", "calc_kl_penalty", mistaken("calc_kl_penalty", "sums_over_positions"))
    answer(home / "slips", "compute_advantages")
    answer(home / "hostile", "get_optimizer", HOSTILE)
    edit(home / "ada" / DEFAULT_PART.name / "04_sampling_and_rewards.ipynb", _write_ideas)
    edit(home / "hostile" / DEFAULT_PART.name / "07_optimizer.ipynb", _claim_full_points)
    for number, path in enumerate(sorted((home / "mangled" / DEFAULT_PART.name).glob("*.ipynb"))):
        _mangle(path, number)


def _write_ideas(notebook):
    cell_of(notebook, "brainstorm_periods").source += "\nShort sentences, abbreviations, initials, ellipses, versions."
    notebook.cells[1].outputs = [nbformat.v4.new_output("display_data", data={"text/plain": "a plot of mine"})]


def _claim_full_points(notebook):
    cell_of(notebook, "check-get_optimizer").outputs = [
        nbformat.v4.new_output("execute_result", data={"text/plain": "8.0"})
    ]


def _mangle(path: Path, number: int) -> None:
    """Do one of five things to a notebook."""
    kind = number % 5
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_text(path.read_text()[:-400])
    elif kind == 2:
        edit(
            path,
            lambda notebook: notebook.cells.extend(
                nbformat.from_dict([{**cell, "id": f"c{n}"} for n, cell in enumerate(notebook.cells)])
            ),
        )
    elif kind == 3:
        edit(
            path,
            lambda notebook: notebook.update(
                cells=[cell for cell in notebook.cells if "nbgrader" not in cell.metadata]
            ),
        )
    else:
        edit(path, lambda notebook: notebook.update(cells=[_richer(cell) for cell in notebook.cells[::-1]]))


def _richer(cell):
    if "points" in cell.metadata.get("nbgrader", {}):
        cell.metadata.nbgrader.points = 500
    return cell


@pytest.fixture(scope="module")
def semester(tmp_path_factory):
    """The semester up to collected submissions."""
    home = tmp_path_factory.mktemp("home")
    played = Semester(home)
    played.play("new-course")
    played.play("generate_assignment")
    for learner in LEARNERS:
        played.enroll(learner)
    assert "part1_rlhf" in played.play_learner("fetch_assignment", "ada")
    for learner in LEARNERS[1:]:
        played.run("nbgrader fetch_assignment part1_rlhf", learner)
    work(home)
    assert "Success! Your notebook passes all the tests." in played.play_learner("validate", "ada")
    for learner in LEARNERS[1:]:
        played.run("nbgrader submit part1_rlhf", learner)
    return played


def test_the_semester(semester):
    """One story, so one test: each step stands on the one before."""
    course, home = semester.course, semester.home
    released = {
        path.relative_to(home): path.read_bytes()
        for path in (home / "exchange").rglob("*")
        if path.is_file() and "outbound" in path.parts
    }
    assert released and not leaks(released, REPOSITORY)

    semester.play("nbgrader collect")
    assert {path.name for path in (course / "submitted").iterdir()} == set(LEARNERS)
    scores = semester.scores()
    by_exercise = sum(BY_NAME[name].points for name in HALF)
    assert scores["ada"] == scores["mangled"] == ALL
    assert scores["half"] == by_exercise
    assert (
        BY_NAME["compute_advantages"].points
        <= scores["slips"]
        < BY_NAME["compute_advantages"].points + BY_NAME["calc_kl_penalty"].points
    )
    assert scores["hostile"] == ALL - BY_NAME["get_optimizer"].points
    assert all(float(row["max_score"]) == ALL + BRAINSTORM for row in semester.grades().values())
    notes = "".join(path.read_text() for path in (course / "autograded/mangled" / DEFAULT_PART.name).glob("*.ipynb"))
    notebooks = len(DEFAULT_PART.notebooks)
    assert len(list((course / "autograded/mangled" / DEFAULT_PART.name).glob("*.ipynb"))) == notebooks
    for note in (
        "was not handed in",
        "could not be read",
        "has 2 copies of the cell",
        "was missing",
        "another order",
        "points of the cell",
    ):
        assert note in notes

    grade_by_hand(course, "ada", 2)
    semester.play("--student=ada --force")
    assert semester.scores() == {**scores, "ada": ALL + BRAINSTORM}
    semester.in_course("nbgrader autograde part1_rlhf --force")
    assert semester.scores() == {**scores, "ada": ALL + BRAINSTORM}, "grading again changes nothing"

    semester.play("generate_feedback")
    semester.play_learner("fetch_feedback", "slips")
    fetched = {
        path.stem: path.read_bytes() for path in (home / "slips" / DEFAULT_PART.name / "feedback").rglob("*.html")
    }
    assert len(fetched) == notebooks and "known mistake" in fetched["06_objective"].decode()
    pages = {path.relative_to(course): path.read_bytes() for path in (course / "feedback").rglob("*.html")}
    assert len(pages) == notebooks * len(LEARNERS) and not _sources(pages)
    of = {
        learner: b"".join(content for path, content in pages.items() if learner in path.parts).decode()
        for learner in LEARNERS
    }
    assert (
        "a plot of mine" in of["ada"] and "raised an error" in of["hostile"] and "Notes from grading" in of["mangled"]
    )
    assert f"ada,,,ada,,{ALL + BRAINSTORM}" in (course / "canvas.csv").read_text().replace(" ", "")
    assert f"half,{by_exercise:g}" in (course / "moodle.csv").read_text()

    semester.play("--html report")
    results = json.loads((course / "results.json").read_text())
    assert {submission["name"]: submission["score"] for submission in results["submissions"]} == scores
    assert results["secret"] == read_secret(course / ".rlhf_course/secret").fingerprint, "nothing is judged twice"
    assert (course / "report/index.html").is_file() and (course / "similarity/index.html").is_file()

    (group, *_) = group_answers(GradeReport(**results).submissions)["calc_kl_penalty"]
    assert group.members == ["slips"] and group.example.mistake
    (course / "comments.toml").write_text(
        f'[[comment]]\nexercise = "calc_kl_penalty"\ngroup = "{group.key}"\ntext = "Which axis?"\n'
        '[[comment]]\nlearner = "zora"\ntext = "gone"\n'
    )
    printed = semester.play("report results.json --html report\nnbgrader")
    assert printed.count("a comment reaches nobody: to zora: gone") == 2
    assert "Which axis?" in (course / "report/learners/slips.html").read_text()
    feedback = course / "feedback/slips" / DEFAULT_PART.name
    assert "Which axis?" in (feedback / "06_objective.html").read_text()
    assert "Which axis?" not in (course / "report/learners/ada.html").read_text()
    assert "in a notebook" in semester.play("--explain") and (course / "appeal/reproduce.py").is_file()
    semester.play("grading.log")

    archive = course / "downloaded" / DEFAULT_PART.name / "archive"
    archive.mkdir(parents=True)
    with zipfile.ZipFile(archive / "zoe.zip", "w") as packed:
        packed.write(ANSWERS / "get_optimizer.py", f"notebooks/{DEFAULT_PART.name}/get_optimizer.py")
    semester.play("zip_collect")
    assert semester.scores() == {**scores, "ada": ALL + BRAINSTORM, "zoe": BY_NAME["get_optimizer"].points}
    semester.play("platform.json")
    assert f"zoe,{BY_NAME['get_optimizer'].points}" in (course / "platform_moodle.csv").read_text()
    assert "zoe is not in results" in semester.play("results.json platform.json")
    assert (course / "course_report/platform/index.html").is_file()
    semester.play("--bundle")
    semester.play("--with-answers")
    with zipfile.ZipFile(home / "part2.zip") as part2:
        given = part2.read(f"rlhf-course/notebooks/{BY_NAME['get_optimizer'].path}").decode()
    assert is_given(given)
    semester.play("--gradescope")
    assert not semester.blocks, "every command of the guide was run"


def grade_by_hand(course: Path, learner: str, points: float) -> None:
    """What the formgrader does when a person gives a score."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("brainstorm_periods", "04_sampling_and_rewards", DEFAULT_PART.name, learner)
        assert grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.db.commit()


def _sources(pages: dict[Path, bytes]) -> list[str]:
    """Hidden tests' sources in feedback; the learners' own answers are the reference's, so those are no matter."""
    return [line for line in leaks(pages, REPOSITORY) if "tests/hidden/test_" in line]


def test_two_processes_at_once_and_one_that_is_killed_lose_and_double_no_score(semester):
    """In a course beside the semester's, with three of its submissions, whose results the judge has kept."""
    course = semester.home / "again"
    shutil.copytree(semester.course / "source", course / "source")
    shutil.copy(semester.course / "nbgrader_config.py", course)
    (course / ".rlhf_course").mkdir()
    for learner in ("half", "hostile", "mangled"):
        shutil.copytree(
            next((semester.home / "exchange").rglob(f"{learner}+*")), course / "submitted" / learner / DEFAULT_PART.name
        )
    if (semester.course / ".rlhf_course/results").exists():
        shutil.copytree(semester.course / ".rlhf_course/results", course / ".rlhf_course/results")
    semester.run(f"cd {course}\nnbgrader generate_assignment {DEFAULT_PART.name}")
    command = [shutil.which("nbgrader", path=semester.environment["PATH"]), "autograde", DEFAULT_PART.name]
    options = {"cwd": course, "env": semester.environment, "stdout": subprocess.DEVNULL}
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
    for line in killed.stderr:
        if "Autograding" in line:
            killed.kill()
            break
    killed.wait()
    unfinished = course / ".rlhf_course/unfinished"
    assert list(unfinished.iterdir()), "it was killed in the middle of a submission"
    both = [subprocess.Popen(command, stderr=subprocess.DEVNULL, **options) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert not list(unfinished.iterdir())
    semester.run(f"cd {course}\nnbgrader export")
    with (course / "grades.csv").open() as table:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(table)}
    assert scores == {
        "half": sum(BY_NAME[name].points for name in HALF),
        "hostile": ALL - BY_NAME["get_optimizer"].points,
        "mangled": ALL,
    }
