"""A course of three parts: the guide's commands for it, with a learner of the first two and one of the last two."""

import csv
from pathlib import Path

import pytest
import reference_judge
from played_guide import Semester

from rlhf_course.course import BY_NAME, PARTS
from rlhf_course.grading.results import GradeReport
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = PARTS
DONE = {
    ("ada", FIRST.name): ("reward_fn_char_count", "compute_advantages"),
    ("ada", SECOND.name): ("bradley_terry_loss", "best_of_n_kl"),
    ("ben", SECOND.name): ("bradley_terry_loss", "best_of_n", "dpo_loss"),
    ("ben", THIRD.name): ("completion_mask", "rloo_advantages"),
}
EXPECTED = {key: sum(BY_NAME[name].points for name in names) for key, names in DONE.items()}
BRAINSTORM = {FIRST.name: 2, SECOND.name: 0, THIRD.name: 0}


def hand_in(semester: Semester, learner: str, part: str) -> None:
    """Let a learner answer exercises of a part as the reference does, and hand in."""
    for name in DONE[learner, part]:
        path = BY_NAME[name].path
        (semester.home / learner / part / path).write_text((REPOSITORY / "solutions" / path).read_text())
    semester.run(f"nbgrader submit {part}", learner)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as table:
        return list(csv.DictReader(table))


def test_a_course_of_three_parts_grades_each_alone_and_a_learner_of_one_part_loses_nothing_in_it(tmp_path):
    semester = Semester(tmp_path, "parts-2027", "parts")
    semester.play("new-course")
    released = {path: path.read_bytes() for path in (tmp_path / "parts-exchange").rglob("*") if path.is_file()}
    assert released and not leaks(released, REPOSITORY)
    with (semester.course / "nbgrader_config.py").open("a") as settings:
        settings.write(reference_judge.SETTINGS)
    for learner in ("ada", "ben"):
        semester.enroll(learner)

    semester.run(f"nbgrader fetch_assignment {FIRST.name}", "ada")
    hand_in(semester, "ada", FIRST.name)
    semester.play_learner("fetch_assignment", "ada")
    semester.run(f"nbgrader fetch_assignment {SECOND.name}", "ben")
    carried = tmp_path / "ada" / SECOND.name / BY_NAME["compute_advantages"].path
    assert carried.is_file() and not (tmp_path / "ben" / SECOND.name / FIRST.name).exists()
    semester.run(f"nbgrader fetch_assignment {THIRD.name}", "ben")
    for learner, part in DONE:
        if part != FIRST.name:
            hand_in(semester, learner, part)

    semester.play("collect")
    grades = {(row["student_id"], row["assignment"]): row for row in rows(semester.course / "grades.csv")}
    assert {key: float(row["score"]) for key, row in grades.items() if row["timestamp"]} == EXPECTED
    for part in PARTS:
        assert {float(row["max_score"]) for (_, name), row in grades.items() if name == part.name} == {
            part.points + BRAINSTORM[part.name]
        }
    pages = {
        (learner, part.name): len(list((semester.course / "feedback" / learner / part.name).glob("*.html")))
        for learner in ("ada", "ben")
        for part in PARTS
    }
    assert pages == {
        (learner, part.name): len(part.notebooks) if (learner, part.name) in DONE else 0
        for learner in ("ada", "ben")
        for part in PARTS
    }

    # The real judge grades this block.
    semester.play("report")
    for part in PARTS:
        report = GradeReport.model_validate_json((semester.course / f"{part.name}.json").read_text())
        found = {(result.name, part.name): result for result in report.submissions}
        assert {key: result.score for key, result in found.items()} == {
            key: score for key, score in EXPECTED.items() if key[1] == part.name
        }
        assert all(set(result.exercises) == {each.name for each in part.exercises} for result in found.values())
        marks = {row["Username"]: float(row["Grade"]) for row in rows(semester.course / f"{part.name}.csv")}
        assert marks == {learner: score for (learner, name), score in EXPECTED.items() if name == part.name}
    course_page = (semester.course / "report/index.html").read_text()
    assert "ada" in course_page and "ben" in course_page
    assert not semester.blocks, "every command of the guide's section was run"
