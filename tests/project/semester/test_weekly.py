"""A course of two weekly assignments: the guide's commands for it, with a judge that compares texts."""

import csv
from pathlib import Path

import pytest
import reference_judge
from played_guide import Semester, cell_of, edit

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.paths import REPOSITORY

pytestmark = pytest.mark.slow

WEEKS = {"week1": range(1, 5), "week2": range(5, 8)}
BRAINSTORM = 2


def exercises_of(week: str) -> list[str]:
    return [exercise.name for exercise in EXERCISES if int(exercise.notebook[:2]) in WEEKS[week]]


def points(*names: str) -> int:
    return sum(BY_NAME[name].points for name in names)


def hand_in(semester: Semester, learner: str, week: str, *names: str) -> None:
    """Let a learner answer exercises as the reference does, and hand in."""
    folder = semester.home / learner / week
    for name in names:
        path = BY_NAME[name].path
        (folder / path).write_text((REPOSITORY / "solutions" / path).read_text())
    semester.run(f"nbgrader submit {week}", learner)


def scores(semester: Semester) -> dict[tuple[str, str], float]:
    """Scores of those who handed in, by learner and assignment."""
    semester.in_course("nbgrader export --to grades.csv")
    with (semester.course / "grades.csv").open() as table:
        rows = list(csv.DictReader(table))
    return {(row["student_id"], row["assignment"]): float(row["score"]) for row in rows if row["timestamp"]}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as table:
        return list(csv.DictReader(table))


def grade(semester: Semester, week: str) -> None:
    semester.in_course(f"nbgrader collect {week} --update\nnbgrader autograde {week}")


def grade_by_hand(semester: Semester, learner: str, score: float) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{semester.course}/gradebook.db") as gradebook:
        written = gradebook.find_grade("brainstorm_periods", "04_sampling_and_rewards", "week1", learner)
        assert written.needs_manual_grade
        written.manual_score, written.needs_manual_grade = score, False
        gradebook.db.commit()


def test_two_weekly_assignments_are_graded_on_their_own_exercises_and_exported_each_on_its_scale(tmp_path):
    semester = Semester(tmp_path, "weekly-2027", "weekly")
    semester.play("new-course")
    with (semester.course / "nbgrader_config.py").open("a") as settings:
        settings.write(reference_judge.SETTINGS)
    for learner in ("ada", "ben"):
        semester.enroll(learner)
        semester.run("nbgrader fetch_assignment week1", learner)
    first, second = exercises_of("week1"), exercises_of("week2")
    assert len(first) == 3 and len(second) == 5

    edit(
        tmp_path / "ada/week1/04_sampling_and_rewards.ipynb",
        lambda notebook: cell_of(notebook, "brainstorm_periods").update(source="Short sentences."),
    )
    hand_in(semester, "ada", "week1", *first)
    hand_in(semester, "ben", "week1", first[0])
    grade(semester, "week1")
    assert scores(semester) == {("ada", "week1"): points(*first), ("ben", "week1"): points(first[0])}
    hand_in(semester, "ben", "week1", first[1])
    grade(semester, "week1")
    assert scores(semester)["ben", "week1"] == points(*first[:2]), "the last submission counts"
    grade_by_hand(semester, "ada", BRAINSTORM)

    semester.play("generate_assignment week2")
    semester.play_learner("week2/part1_rlhf", "ada")
    semester.run("nbgrader fetch_assignment week2", "ben")
    carried = tmp_path / "ada/week2" / BY_NAME[first[0]].path
    assert carried.read_text() == (REPOSITORY / "solutions" / BY_NAME[first[0]].path).read_text()
    hand_in(semester, "ada", "week2", *second)
    hand_in(semester, "ben", "week2", *second[:2], *first)
    grade(semester, "week2")
    expected = {
        ("ada", "week1"): points(*first) + BRAINSTORM,
        ("ben", "week1"): points(*first[:2]),
        ("ada", "week2"): points(*second),
        ("ben", "week2"): points(*second[:2]),
    }
    assert scores(semester) == expected

    semester.play("export")
    _, *canvas = rows(semester.course / "week1.csv")
    assert {row["SIS Login ID"]: float(row["week1"]) for row in canvas} == {
        "ada": expected["ada", "week1"],
        "ben": expected["ben", "week1"],
    }
    moodle = rows(semester.course / "week2.csv")
    assert {row["Username"]: float(row["Grade"]) for row in moodle} == {
        "ada": expected["ada", "week2"],
        "ben": expected["ben", "week2"],
    }
    (semester.course / "worksheet.csv").write_text(
        "Identifier,Username,Grade,Maximum grade,Feedback comments\n"
        "Participant 1,ada,,20.00,\nParticipant 2,ben,,20.00,\n"
    )
    exporter = "--exporter rlhf_course.nbgrader_course.export.MoodleExporter"
    semester.in_course(f"nbgrader export {exporter} --assignment week2 --MoodleExporter.roster=worksheet.csv")
    filled = {row["Username"]: float(row["Grade"]) for row in rows(semester.course / "moodle.csv")}
    assert filled == {"ada": 20, "ben": pytest.approx(20 * points(*second[:2]) / points(*second), abs=0.01)}
    assert not semester.blocks, "every command of the guide's section was run"
