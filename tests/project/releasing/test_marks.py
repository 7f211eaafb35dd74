"""Marks for Canvas and Moodle."""

import csv
import io

import pytest

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.releasing.marks import Mark, canvas_csv, moodle_csv

POINTS = DEFAULT_PART.points
MARKS = [Mark("ada", POINTS, POINTS), Mark("Ben Yu_4711_assignsubmission_file", 40.5, POINTS, "RLHFTrainer 0/20")]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_canvas_gets_learners_by_login_under_the_assignments_title_and_the_points_that_are_possible():
    text, unknown = canvas_csv(MARKS, "RLHF")
    possible, ada, _ = rows(text)
    assert possible["Student"].strip() == "Points Possible" and possible["RLHF"] == str(POINTS)
    assert (ada["SIS Login ID"], ada["RLHF"]) == ("ada", str(POINTS)) and not unknown


def test_a_roster_from_canvas_is_filled_in_and_who_handed_in_nothing_stays_blank(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,RLHF (93),Final Score\n"
        f"    Points Possible,,,,,{POINTS},\n"
        '"Lovelace, Ada",7,u7,ADA,S1,,80\n"Curie, Marie",8,u8,marie,S1,,70\n'
    )
    text, unknown = canvas_csv(MARKS, "RLHF", roster)
    _, ada, marie = rows(text)
    assert (ada["ID"], ada["RLHF (93)"], marie["RLHF (93)"]) == ("7", str(POINTS), "")
    assert "Final Score" not in ada and unknown == [MARKS[1].learner]


def test_moodles_worksheet_is_filled_in_by_the_number_that_moodle_gave_the_submission(tmp_path):
    worksheet = tmp_path / "worksheet.csv"
    worksheet.write_text(
        "Identifier,Full name,Email address,Grade,Maximum Grade,Feedback comments\n"
        f"Participant 4711,Ben Yu,b@x.org,,{POINTS},\n"
    )
    text, unknown = moodle_csv(MARKS, worksheet)
    (ben,) = rows(text)
    assert (ben["Grade"], ben["Feedback comments"]) == ("40.5", "RLHFTrainer 0/20") and unknown == ["ada"]


def test_without_a_worksheet_moodle_gets_usernames():
    assert [(row["Username"], row["Grade"]) for row in rows(moodle_csv(MARKS)[0])] == [
        (mark.learner, f"{mark.score:g}") for mark in MARKS
    ]


def test_a_learners_name_is_no_formula_in_a_spreadsheet():
    assert "\n'=1+1," in canvas_csv([Mark("=1+1", 1, 2)], "RLHF")[0]


def test_a_table_without_learners_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("colour,size\nred,3\n")
    with pytest.raises(CourseError, match="SIS Login ID"):
        canvas_csv(MARKS, "RLHF", tmp_path / "table.csv")
