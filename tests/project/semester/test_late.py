"""Late work in nbgrader: the rule of `course.toml`, once an assignment, in gradebook, feedback and exports."""

import csv
import os
import re
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta

import pytest
from classroom import NOTEBOOKS, found, run_nbgrader
from nbgrader.api import Gradebook

from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.paths import REPOSITORY

PART = DEFAULT_PART.name
DUE = datetime.fromisoformat("2027-03-05T23:59:00+01:00")
POINTS = sum(exercise.points for exercise in BY_NAME.values() if exercise.notebook in NOTEBOOKS)
EXPORTER = "--exporter=rlhf_course.nbgrader_course.export.MoodleExporter"


@pytest.fixture
def rule(course):
    """Writes the course's file: a due date, what being late costs, and an extension for cy."""

    def write(late: str, more: str = "") -> None:
        text = f"[due]\n{PART} = {DUE.isoformat()}\n[late]\n{late}\n[extensions]\ncy = 2\n{more}"
        (course / "course.toml").write_text(text)

    return write


@pytest.fixture
def handed_in(hand_in):
    """Hands in the release for a learner, some time after the due date."""

    def submit(learner: str, late: timedelta) -> None:
        (hand_in(learner) / "timestamp.txt").write_text((DUE + late).isoformat(" "))

    return submit


def penalties(course, learner: str) -> list[float]:
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        submission = gradebook.find_submission(PART, learner)
        assert submission.late_submission_penalty == sum(n.late_submission_penalty or 0 for n in submission.notebooks)
        return sorted(n.late_submission_penalty or 0 for n in submission.notebooks)


def exported(course, *arguments: str) -> dict[str, dict[str, str]]:
    from nbgrader.apps import ExportApp

    run_nbgrader(ExportApp, course, *arguments, "--to=table.csv")
    with (course / "table.csv").open() as table:
        return {row.get("Username") or row["student_id"]: row for row in csv.DictReader(table)}


def test_a_flat_penalty_is_subtracted_once_from_an_assignment_of_several_notebooks(
    course, rule, handed_in, judge_finds, autograde
):
    from nbgrader.apps import GenerateFeedbackApp

    rule("flat = 10\ngrace = 5")
    for learner, late in {"ada": timedelta(0), "ben": timedelta(minutes=6), "cy": timedelta(days=2)}.items():
        handed_in(learner, late)
    judge_finds(ada=found(), ben=found(), cy=found())
    autograde()
    assert {learner: sum(penalties(course, learner)) for learner in ("ada", "ben", "cy")} == {
        "ada": 0,
        "ben": 10,
        "cy": 0,
    }
    grades = exported(course)
    assert (float(grades["ben"]["raw_score"]), float(grades["ben"]["score"])) == (POINTS, POINTS - 10)
    assert {name: float(row["Grade"]) for name, row in exported(course, EXPORTER).items()} == {
        "ada": POINTS, "ben": POINTS - 10, "cy": POINTS
    }  # fmt: skip
    feedback = exported(course, EXPORTER)["ben"]["Feedback comments"]
    assert "handed in 2027-03-06 00:05, due 2027-03-05 23:59 (UTC+01:00), so 1 day late: 10 of 16 points" in feedback
    run_nbgrader(GenerateFeedbackApp, course, PART)
    pages = [path.read_text() for path in (course / "feedback/ben" / PART).glob("*.html")]
    lost = [float(text) for page in pages for text in re.findall(r"Late submission penalty \(Score: -([\d.]+)\)", page)]
    assert sum(lost) == 10


def test_points_given_by_hand_later_do_not_escape_the_rule(course, rule, handed_in, judge_finds, autograde):
    from nbgrader.apps import GenerateFeedbackApp

    rule("latest = 1")
    handed_in("ben", timedelta(days=3))
    judge_finds(ben=found(0.5))
    autograde()
    assert sum(penalties(course, "ben")) == POINTS / 2
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        for notebook in gradebook.find_submission(PART, "ben").notebooks:
            for grade in notebook.grades:
                grade.manual_score, grade.needs_manual_grade = grade.max_score, False
        gradebook.db.commit()
    run_nbgrader(GenerateFeedbackApp, course, PART)
    assert float(exported(course)["ben"]["score"]) == 0
    assert float(exported(course, EXPORTER)["ben"]["Grade"]) == 0


def test_a_new_extension_and_a_new_submission_in_time_lift_the_penalty(course, rule, handed_in, judge_finds, autograde):
    rule("penalty_per_day = 2")
    handed_in("ben", timedelta(days=1, hours=1))
    judge_finds(ben=found())
    autograde()
    assert sum(penalties(course, "ben")) == 4
    rule("penalty_per_day = 2", "ben = 1")
    assert float(exported(course, EXPORTER)["ben"]["Grade"]) == POINTS - 2
    assert sum(penalties(course, "ben")) == 2
    rule("penalty_per_day = 2", f"ben = {(DUE + timedelta(days=3)).isoformat()}")
    autograde("--force")
    assert sum(penalties(course, "ben")) == 0


def test_full_marks_bound_what_is_exported(course, rule, handed_in, judge_finds, autograde):
    rule("flat = 3", f"[full]\n{PART} = 12\n")
    handed_in("ada", timedelta(0))
    handed_in("ben", timedelta(1))
    judge_finds(ada=found(), ben=found())
    autograde()
    assert {name: row["Grade"] for name, row in exported(course, EXPORTER).items()} == {"ada": "12", "ben": "9"}


@pytest.mark.parametrize("file", ["course.toml", "comments.toml"])
def test_a_wrong_file_ends_commands_in_one_line_and_nothing_that_was_there_is_lost(
    course, handed_in, judge_finds, autograde, capfd, file
):
    from nbgrader.apps import ExportApp, GenerateAssignmentApp, GenerateFeedbackApp

    handed_in("ben", timedelta(days=30))
    judge_finds(ben=found())
    autograde()
    run_nbgrader(GenerateFeedbackApp, course, PART)
    kept = {path: path.read_bytes() for name in ("release", "feedback") for path in (course / name).rglob("*.*")}
    (course / file).write_text("[late\n")
    commands = [(GenerateFeedbackApp, PART, "--force")]
    if file == "course.toml":
        commands.append((GenerateAssignmentApp, PART, "--force"))
    for command in commands:
        capfd.readouterr()
        with pytest.raises(SystemExit):
            run_nbgrader(command[0], course, *command[1:])
        log = capfd.readouterr().err
        assert f"{file}, line 1: takes an entry" in log and "Traceback" not in log
    assert kept and all(path.read_bytes() == content for path, content in kept.items())
    if file == "course.toml":
        with pytest.raises(CourseError) as refusal:
            run_nbgrader(ExportApp, course, EXPORTER)
        export = [sys.executable, "-m", "nbgrader", "export", EXPORTER]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "utils")}
        shown = subprocess.run(export, cwd=course, env=environment, capture_output=True, text=True, timeout=300)
        assert shown.returncode == 1 and f"error: {refusal.value}" in shown.stderr and "Traceback" not in shown.stderr


def test_without_a_rule_nothing_is_subtracted(course, rule, handed_in, judge_finds, autograde):
    rule("flat = 0\ngrace = 5")
    handed_in("ben", timedelta(days=30))
    judge_finds(ben=found())
    autograde()
    assert sum(penalties(course, "ben")) == 0


def test_zip_collect_takes_the_times_of_a_table_beside_the_archive(course):
    from nbgrader.apps import ZipCollectApp

    archive = course / "downloaded" / PART / "archive"
    archive.mkdir(parents=True)
    for learner in ("ada", "ben"):
        with zipfile.ZipFile(archive / f"{learner}.zip", "w") as packed:
            packed.writestr("07_optimizer.ipynb", "{}")
    (archive.parent / "submitted.csv").write_text("learner,time\nada,2027-03-06T00:30:00+01:00\n")
    run_nbgrader(ZipCollectApp, course, PART)
    assert (course / "submitted/ada" / PART / "timestamp.txt").read_text() == "2027-03-05 23:30:00"
    assert not (course / "submitted/ben" / PART / "timestamp.txt").exists()


def test_zip_collect_takes_the_time_that_named_regexp_finds_in_a_name(course):
    from nbgrader.apps import ZipCollectApp

    archive = course / "downloaded" / PART / "archive"
    archive.mkdir(parents=True)
    with zipfile.ZipFile(archive / "ada 2027-03-05 10:15.zip", "w") as packed:
        packed.writestr("07_optimizer.ipynb", "{}")
    pattern = r"(?P<student_id>\w+) (?P<timestamp>.*)"
    run_nbgrader(ZipCollectApp, course, PART, f"--CourseCollector.named_regexp={pattern}")
    assert (course / "submitted/ada" / PART / "timestamp.txt").read_text() == "2027-03-05 10:15:00"
