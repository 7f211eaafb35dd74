"""A course of two weekly assignments: the guide's commands for it, with a judge that compares texts."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import reference_judge
from played_guide import Semester, cell_of, edit

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.comments.groups import group_answers
from rlhf_course.grading.results import GradeReport, SubmissionResult
from rlhf_course.paths import REPOSITORY

pytestmark = pytest.mark.slow

WEEKS = {"week1": range(1, 5), "week2": range(5, 8)}
BRAINSTORM = 2
LEFT_OUT, CHANGED = "calc_entropy_bonus", "compute_advantages"
POINTS = {CHANGED: 17.5}
PER_DAY, DAYS_LATE = 3, 2
COURSE = """
assignments = ["week1", "week2"]
left_out = ["{left_out}"]
[points]
{changed} = {points}
[due]
week1 = {due:%Y-%m-%dT%H:%M:%SZ}
[late]
penalty_per_day = {per_day}
[extensions]
ben = {{ week1 = 3 }}
"""


def exercises_of(week: str) -> list[str]:
    return [
        exercise.name
        for exercise in EXERCISES
        if int(exercise.notebook[:2]) in WEEKS[week] and exercise.name != LEFT_OUT
    ]


def points(*names: str) -> float:
    return sum(POINTS.get(name, BY_NAME[name].points) for name in names)


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


def results(semester: Semester, week: str) -> list[SubmissionResult]:
    return GradeReport.model_validate_json((semester.course / f"{week}.json").read_text()).submissions


def write_comment(semester: Semester, exercise: str) -> None:
    """Comment on the group of answers to an exercise that are wrong, as the page of the exercise names it."""
    (group,) = [group for group in group_answers(results(semester, "week2"))[exercise] if group.members == ["ben"]]
    (semester.course / "comments.toml").write_text(
        f'[[comment]]\nexercise = "{exercise}"\ngroup = "{group.key}"\ntext = "Mind the shift by one."\n'
    )


def test_a_course_of_two_assignments_with_points_due_dates_and_comments_of_its_own_gives_the_numbers_that_it_states(
    tmp_path,
):
    semester = Semester(tmp_path, "weekly-2027", "weekly")
    due = datetime.now(UTC) - timedelta(days=DAYS_LATE, hours=-12)
    semester.course.mkdir()
    (semester.course / "course.toml").write_text(
        COURSE.format(left_out=LEFT_OUT, changed=CHANGED, points=POINTS[CHANGED], due=due, per_day=PER_DAY)
    )
    semester.play("new-course")
    with (semester.course / "nbgrader_config.py").open("a") as settings:
        settings.write(reference_judge.SETTINGS)
    for learner in ("ada", "ben"):
        semester.enroll(learner)
        semester.run("nbgrader fetch_assignment week1", learner)
    first, second = exercises_of("week1"), exercises_of("week2")
    assert len(first) == 3 and len(second) == 4

    edit(
        tmp_path / "ada/week1/04_sampling_and_rewards.ipynb",
        lambda notebook: cell_of(notebook, "brainstorm_periods").update(source="Short sentences."),
    )
    hand_in(semester, "ada", "week1", *first)
    hand_in(semester, "ben", "week1", first[0])
    grade(semester, "week1")
    penalty = PER_DAY * DAYS_LATE
    assert scores(semester) == {("ada", "week1"): points(*first) - penalty, ("ben", "week1"): points(first[0])}
    hand_in(semester, "ben", "week1", first[1])
    grade(semester, "week1")
    assert scores(semester)["ben", "week1"] == points(*first[:2]), "the last submission counts, within the extension"
    grade_by_hand(semester, "ada", BRAINSTORM)

    semester.play("generate_assignment week2")
    semester.play_learner("week2/part1_rlhf", "ada")
    semester.run("nbgrader fetch_assignment week2", "ben")
    carried = tmp_path / "ada/week2" / BY_NAME[first[0]].path
    assert carried.read_text() == (REPOSITORY / "solutions" / BY_NAME[first[0]].path).read_text()
    hand_in(semester, "ada", "week2", *second)
    (tmp_path / "ben/week2" / BY_NAME["get_logprobs"].path).write_text("def get_logprobs(logits, tokens):\n    ...\n")
    right = [name for name in second[:2] if name != "get_logprobs"]
    hand_in(semester, "ben", "week2", *right, *first)
    grade(semester, "week2")
    expected = {
        ("ada", "week1"): points(*first) + BRAINSTORM - penalty,
        ("ben", "week1"): points(*first[:2]),
        ("ada", "week2"): points(*second),
        ("ben", "week2"): points(*right),
    }
    assert CHANGED in right, "the changed points count in week 2"

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
    assert scores(semester) == expected

    (semester.course / "worksheet.csv").write_text(
        "Identifier,Username,Grade,Maximum grade,Feedback comments\n"
        "Participant 1,ada,,20.00,\nParticipant 2,ben,,20.00,\n"
    )
    (semester.course / "canvas_roster.csv").write_text(
        "Student,ID,SIS Login ID,week1 (7)\n    Points Possible,,,100\nAda,1,ada,\nBen,2,ben,\n"
    )
    exporter = "--exporter rlhf_course.nbgrader_course.export"
    semester.in_course(f"""
        nbgrader export {exporter}.MoodleExporter --assignment week2 --MoodleExporter.roster=worksheet.csv
        nbgrader export {exporter}.CanvasExporter --assignment week1 --CanvasExporter.roster=canvas_roster.csv""")
    filled = {row["Username"]: float(row["Grade"]) for row in rows(semester.course / "moodle.csv")}
    assert filled == {"ada": 20, "ben": pytest.approx(20 * points(*right) / points(*second), abs=0.01)}
    filled = {row["SIS Login ID"]: float(row["week1 (7)"]) for row in rows(semester.course / "canvas.csv")[1:]}
    full = points(*first) + BRAINSTORM
    assert filled == {
        learner: pytest.approx(100 * expected[learner, "week1"] / full, abs=0.01) for learner in ("ada", "ben")
    }

    # The real judge grades this block, on all exercises of the part.
    semester.play("report week1.json week2.json")
    passed = {
        (result.name, week): {name for name, graded in result.exercises.items() if graded.status == "passed"}
        for week in WEEKS
        for result in results(semester, week)
    }
    assert passed == {
        ("ada", "week1"): set(first),
        ("ben", "week1"): set(first[:2]),
        ("ada", "week2"): {*first, *second},
        ("ben", "week2"): {*first, *right},
    }
    assert (semester.course / "report/index.html").is_file()

    write_comment(semester, "get_logprobs")
    semester.in_course("nbgrader generate_feedback week2")
    pages = {
        learner: "".join(path.read_text() for path in (semester.course / "feedback" / learner).rglob("*.html"))
        for learner in ("ada", "ben")
    }
    assert "Mind the shift by one." in pages["ben"] and "Mind the shift" not in pages["ada"]
    semester.in_course("nbgrader autograde week2 --force\nnbgrader generate_feedback week2 --force")
    page = semester.course / "feedback/ben/week2" / f"{BY_NAME['get_logprobs'].notebook}.html"
    assert "Mind the shift by one." in page.read_text(), "comments survive grading again"
    assert scores(semester) == expected
    assert not semester.blocks, "every command of the guide's section was run"
