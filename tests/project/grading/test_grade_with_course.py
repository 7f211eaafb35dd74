"""`rlhf-course grade --course`, `report --course` and `marks --course`: points, full marks and late work."""

import csv
import json
import re
import sys
from functools import partial

import pytest
from fake_judge import FakeJudge
from submission_files import ANSWER, PATH, write_folder

from rlhf_course import course_file
from rlhf_course.cli import main
from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.grading.commands import grade_command, grader

PART = DEFAULT_PART.name
LONG = {
    f"{PART}/compute_advantages.py": ANSWER,
    f"{PART}/calc_kl_penalty.py": "def f(): return 1",
    f"{PART}/get_logprobs.py": "abcd",
}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command line in a folder of its own with a fake judge, and return the exit code, output and errors."""
    monkeypatch.setattr(grader, "_judge_factory", lambda *_: partial(FakeJudge, tmp_path / "log"))
    monkeypatch.setattr(grader, "require_isolation", lambda level: None)
    monkeypatch.setattr(grade_command, "default_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(grade_command, "default_secret_file", lambda: tmp_path / "data/secret")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out, " ".join(captured.err.split())

    return call


@pytest.fixture
def grade(run, tmp_path):
    """Grade the folder `class` with a text as course.toml; returns the submissions by name, and the messages."""

    def graded(toml: str = "", *arguments: object) -> tuple[dict, str]:
        (tmp_path / "course.toml").write_text(toml)
        code, _, errors = run(
            "grade",
            "--each",
            "class",
            "--json",
            "r.json",
            "--course",
            "course.toml",
            "--workers",
            1,
            "--replace",
            *arguments,
        )
        assert code == 0, errors
        results = json.loads((tmp_path / "r.json").read_text())
        return {result["name"]: result for result in results["submissions"]}, errors

    return graded


def judged(tmp_path) -> int:
    return (tmp_path / "log").read_text().splitlines().count("ada")


def test_points_are_scaled_by_exercise_and_judge_nothing_anew(grade, tmp_path):
    write_folder(tmp_path / "class", {f"ada/{path}": text for path, text in LONG.items()})
    plain = grade()[0]["ada"]
    assert plain["exercises"]["get_logprobs"]["score"] == 4 and plain["max_score"] == DEFAULT_PART.points
    scaled = grade("title = 'RL 2027'\n[points]\nget_logprobs = 20\ncompute_advantages = 0\n")[0]["ada"]
    assert (scaled["exercises"]["get_logprobs"]["score"], scaled["exercises"]["get_logprobs"]["max_score"]) == (10, 20)
    assert [test["points"] for test in scaled["exercises"]["get_logprobs"]["tests"]] == [20]
    assert scaled["score"] == plain["score"] - 8 - 4 + 10 and scaled["max_score"] == DEFAULT_PART.points - 8 + 12
    assert grade()[0]["ada"] == plain and judged(tmp_path) == 1
    assert json.loads((tmp_path / "r.json").read_text())["title"] == ""


def test_an_exercise_that_had_no_points_gets_points_again_without_grading(grade, run, tmp_path):
    write_folder(tmp_path / "class", {f"ada/{path}": text for path, text in LONG.items()})
    assert grade("[points]\ncompute_advantages = 0\n")[0]["ada"]["exercises"]["compute_advantages"]["score"] == 0
    (tmp_path / "course.toml").write_text("[points]\ncompute_advantages = 2\n")
    assert run("report", "r.json", "--course", "course.toml", "--csv", "r.csv")[0] == 0
    (row,) = csv.DictReader((tmp_path / "r.csv").open())
    assert float(row["compute_advantages"]) == 2 and float(row["max_score"]) == DEFAULT_PART.points - 6


def test_points_changed_in_the_list_of_exercises_count_too(grade, tmp_path, monkeypatch):
    write_folder(tmp_path / "class", {f"ada/{path}": text for path, text in LONG.items()})
    points_of = course_file.CourseFile.points_of
    monkeypatch.setattr(
        course_file.CourseFile,
        "points_of",
        lambda course, exercise: 16 if exercise.name == "get_logprobs" else points_of(course, exercise),
    )
    assert grade()[0]["ada"]["exercises"]["get_logprobs"]["score"] == 8


def test_an_exercise_left_out_is_in_no_score_and_no_maximum(grade, tmp_path):
    write_folder(tmp_path / "class", {f"ada/{path}": text for path, text in LONG.items()})
    plain = grade()[0]["ada"]
    ada = grade("left_out = ['compute_advantages', 'RLHFTrainer']\n")[0]["ada"]
    assert set(plain["exercises"]) - set(ada["exercises"]) == {"compute_advantages", "RLHFTrainer"}
    assert ada["score"] == plain["score"] - 8 and ada["max_score"] == DEFAULT_PART.points - 28
    assert grade()[0]["ada"] == plain


def test_full_marks_may_be_fewer_than_all_points(grade, tmp_path):
    write_folder(tmp_path / "class", {f"ada/{path}": text for path, text in LONG.items()} | {f"ben/{PATH}": ANSWER})
    results, _ = grade(f"[full]\n{PART} = 18\n")
    assert [(results[name]["score"], results[name]["max_score"]) for name in ("ada", "ben")] == [(18, 18), (8, 18)]


LATE = f"""
[due]
{PART} = 2027-03-05T23:59:00+01:00
[late]
penalty_per_day = 3
grace = 10
[extensions]
cy = 2
dora = 1
"""


@pytest.fixture
def late_class(tmp_path):
    """A class of which ben and cy hand in late, and nobody knows when eve did."""
    names = ("ada", "ben", "cy", "eve")
    write_folder(tmp_path / "class", {f"{name}/{PATH}": ANSWER for name in names})
    (tmp_path / "submitted.csv").write_text(
        "learner,time\nada,2027-03-06T00:05:00+01:00\nBen,2027-03-06 23:00:00 +0000\ncy,2027-03-07T12:00:00+01:00\n"
    )


def test_late_work_costs_points_once_a_submission_and_unknown_times_cost_none(grade, late_class, run, tmp_path):
    results, messages = grade(LATE, "--submitted", "submitted.csv")
    assert {name: result["late_penalty"] for name, result in results.items()} == {"ada": 0, "ben": 6, "cy": 0, "eve": 0}
    assert {result["score"] for result in results.values()} == {8}
    assert "points that they lose: ben -6" in messages and "of learners without a submission: dora" in messages
    assert "the time of handing in is unknown: eve" in messages
    code, _, _ = run("marks", "r.json", "--moodle", "moodle.csv", "--scale", "none")
    table = (tmp_path / "moodle.csv").read_text()
    assert code == 0 and "ada,8," in table and "ben,2," in table
    assert (
        "handed in 2027-03-07 00:00, due 2027-03-05 23:59 (UTC+01:00), so 2 days late: 6 of 8 points are subtracted"
        in table
    )


def test_the_learners_page_says_what_being_late_costs_and_the_classs_page_has_the_courses_title(
    grade, late_class, tmp_path
):
    grade("title = 'RL 2027'\n" + LATE, "--submitted", "submitted.csv", "--html", "html")
    page = (tmp_path / "html/learners/ben.html").read_text()
    assert "<strong>2 points count</strong>" in page and "2 days late: 6 of 8 points are subtracted" in page
    assert "points count" not in (tmp_path / "html/learners/cy.html").read_text()
    assert "<h1>RL 2027</h1>" in (tmp_path / "html/index.html").read_text()


def test_the_classs_page_shows_points_penalty_and_mark_of_each_submission(grade, late_class, tmp_path):
    grade(LATE, "--submitted", "submitted.csv", "--html", "html")
    page = (tmp_path / "html/index.html").read_text()
    assert "<strong>1</strong> loses points for late work: ben." in page and "the mean is 6.5" in page
    assert "Handed in from 2027-03-06 00:05 (UTC+0100) to 2027-03-07" in page
    ben = re.sub(r"\s*<[^>]+>\s*", " ", re.search(r"<tr><th[^>]*><a [^>]*>ben</a>.*?</tr>", page, re.DOTALL)[0])
    assert ben.split()[:5] == ["ben", "8", "9", "&minus;6", "2"]
    grade("", "--html", "html")
    assert "&minus;" not in (tmp_path / "html/index.html").read_text()


def test_the_report_over_assignments_says_that_penalties_are_not_subtracted(grade, late_class, run, tmp_path):
    grade(LATE, "--submitted", "submitted.csv")
    (tmp_path / "two.json").write_bytes((tmp_path / "r.json").read_bytes())
    assert run("report", "r.json", "two.json", "--html", "html")[0] == 0
    assert "Points that ben lose for late work are not subtracted" in (tmp_path / "html/index.html").read_text()


def test_a_table_of_times_may_name_learners_by_the_platforms_number_as_extensions_do(grade, tmp_path):
    folders = ("Ada Li_4711_assignsubmission_file_", "Ben Ro_4712_assignsubmission_file_")
    write_folder(tmp_path / "class", {f"{folder}/{PATH}": ANSWER for folder in folders})
    (tmp_path / "times.csv").write_text(
        f"learner,time\n4711,2027-03-06T12:00:00+01:00\n{folders[1]},2027-03-07T12:00:00+01:00\n"
    )
    results, _ = grade(LATE.replace("cy = 2", "4712 = 1"), "--submitted", "times.csv")
    assert [results[folder]["late_penalty"] for folder in folders] == [3, 3]


def test_without_times_there_is_no_penalty_and_one_line_says_so(grade, late_class):
    results, messages = grade(LATE)
    assert {result["late_penalty"] for result in results.values()} == {0}
    assert messages.count("the time of handing in is unknown: ada, ben, cy, eve") == 1
    assert "unknown" not in grade()[1]


def test_a_changed_course_lists_the_marks_that_change_and_writes_nothing_without_replace(
    grade, late_class, run, tmp_path
):
    arguments = ("grade", "--each", "class", "--json", "r.json", "--course", "course.toml", "--workers", 1)
    grade(LATE, "--submitted", "submitted.csv")
    before = (tmp_path / "r.json").read_bytes()
    assert run(*arguments, "--submitted", "submitted.csv")[0] == 0, "nothing changed, so nothing is asked"
    (tmp_path / "course.toml").write_text("# a remark\n" + LATE.replace("+01:00", "+01:00  # in Berlin"))
    assert run(*arguments, "--submitted", "submitted.csv")[0] == 0, "what decides marks is the same"
    (tmp_path / "course.toml").write_text(LATE + "ben = 1\n[points]\nget_logprobs = 9\n")
    code, _, errors = run(*arguments, "--submitted", "submitted.csv")
    assert code == 1 and "graded with other settings in course.toml" in errors and "add --replace" in errors
    assert re.search(r"ben all 2 / 86 \(8 - 6 late\) 8 / 87", errors)
    assert "get_logprobs 0 / 8 missing 0 / 9 missing" in errors and "marks of 4 learners differ" in errors
    assert (tmp_path / "r.json").read_bytes() == before
    assert run(*arguments, "--submitted", "submitted.csv", "--replace")[0] == 0
    assert (tmp_path / "r.json").read_bytes() != before


def test_penalties_do_not_vanish_because_the_times_of_handing_in_are_not_named_again(grade, late_class, run, tmp_path):
    grade(LATE, "--submitted", "submitted.csv")
    before = (tmp_path / "r.json").read_bytes()
    code, _, errors = run("grade", "--each", "class", "--json", "r.json", "--course", "course.toml", "--workers", 1)
    assert code == 1 and "times of handing in that are not known now: --submitted" in errors
    assert "marks of 1 learner differs" in errors and (tmp_path / "r.json").read_bytes() == before


def test_a_file_of_something_else_is_never_written_over(grade, late_class, run, tmp_path):
    (tmp_path / "course.toml").write_text(LATE)
    code, _, errors = run("grade", "--each", "class", "--json", "course.toml", "--workers", 1)
    assert code == 2 and "course.toml holds something else than results" in errors
    assert (tmp_path / "course.toml").read_text() == LATE and not (tmp_path / "log").exists()


def test_report_and_marks_list_what_a_changed_course_changes(grade, late_class, run, tmp_path):
    grade("left_out = ['get_logprobs']\n" + LATE, "--submitted", "submitted.csv")
    (tmp_path / "course.toml").write_text(LATE.replace("= 3", "= 1"))
    for command in (("report", "r.json", "--csv", "r.csv"), ("marks", "r.json", "--canvas", "c.csv")):
        code, _, errors = run(*command, "--course", "course.toml")
        assert code == 0 and "course.toml counts other marks than r.json holds" in errors
        assert re.search(r"ben all 2 / 78 \(8 - 6 late\) 6 / 78 \(8 - 2 late\)", errors)
        assert "r.json has no results of get_logprobs, which course.toml does not leave out: grade again" in errors


def test_a_changed_rule_counts_in_marks_and_reports_without_grading(grade, late_class, run, tmp_path):
    grade(LATE, "--submitted", "submitted.csv")
    (tmp_path / "course.toml").write_text(LATE.replace("= 3", "= 1") + "[points]\ncompute_advantages = 16\n")
    run("marks", "r.json", "--course", "course.toml", "--canvas", "canvas.csv")
    assert "ben,,,ben,,14\n" in (tmp_path / "canvas.csv").read_text()
    assert run("report", "r.json", "--course", "course.toml", "--csv", "r.csv")[0] == 0
    table = (tmp_path / "r.csv").read_text()
    assert f"ben,16,{DEFAULT_PART.points + 8}," in table and "late_penalty,mark\n" in table and ",2,14\n" in table


def test_times_come_from_moodles_worksheet_in_the_zone_of_the_course(grade, tmp_path):
    folders = (
        "Ada Li_4711_assignsubmission_file_",
        "Ben Ro_4712_assignsubmission_file_",
        "Cy_4713_assignsubmission_file_",
    )
    write_folder(tmp_path / "class", {f"{folder}/{PATH}": ANSWER for folder in folders})
    (tmp_path / "worksheet.csv").write_text(
        "Identifier,Full name,Grade,Maximum Grade,Last modified (submission)\n"
        'Participant 4711,Ada Li,,100.00,"Friday, 5 March 2027, 11:59 PM"\n'
        'Participant 4712,Ben Ro,,100.00,"Sunday, 7 March 2027, 12:30 AM"\nParticipant 4713,Cy,,100.00,-\n'
    )
    rule = LATE.replace("cy = 2", "4712 = 1")
    results, messages = grade("timezone = 'Europe/Berlin'\n" + rule, "--submitted", "worksheet.csv")
    assert [result["late_penalty"] for result in results.values()] == [0, 3, 0]
    assert results[folders[0]]["handed_in"].startswith("2027-03-05T23:59:00+01:00")
    assert "unknown: Cy_4713_assignsubmission_file_;" in messages
    assert "handed in 2027-03-07 00:30, due 2027-03-06 23:59 (CET), so 1 day late" in results[folders[1]]["late"]


def test_times_come_from_gradescopes_grades(grade, tmp_path):
    write_folder(tmp_path / "class", {f"submission_{number}/{PATH}": ANSWER for number in (1, 2)})
    (tmp_path / "grades.csv").write_text(
        "First Name,Last Name,SID,Submission ID,Submission Time\nAda,Li,7,1,2027-03-05 14:59:00 -0800\n"
        "Ben,Ro,8,2,2027-03-05 15:10:00 -0800\n"
    )
    results, _ = grade(LATE, "--submitted", "grades.csv")
    assert [results[f"submission_{number}"]["late_penalty"] for number in (1, 2)] == [0, 3]


def test_what_canvas_marks_as_late_is_named_since_canvas_does_not_say_when(grade, tmp_path):
    write_folder(tmp_path / "class", {f"{name}/{PATH}": ANSWER for name in ("doe_1_2_hw", "ro_LATE_3_4_hw")})
    results, messages = grade(LATE)
    assert "late says Canvas, but not since when: ro_LATE_3_4_hw" in messages
    assert {result["late_penalty"] for result in results.values()} == {0}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("learner,time\nada,2027-03-06\n", "no time zone: set timezone in course.toml"),
        ("learner,time\nada,yesterday\n", "'yesterday' is no time"),
        ("learner,time\nada,-\nada,-\n", "several rows of 'ada'"),
        ("name,when\nada,x\n", "needs the columns 'learner' and 'time'"),
    ],
)
def test_a_table_without_usable_times_is_refused(run, late_class, tmp_path, table, words):
    (tmp_path / "submitted.csv").write_text(table)
    code, _, errors = run("grade", "--each", "class", "--submitted", "submitted.csv")
    assert code == 2 and words in errors and not (tmp_path / "log").exists()


def test_a_wrong_entry_stops_the_commands_that_read_the_file(run, late_class, tmp_path):
    (tmp_path / "course.toml").write_text("[points]\nget_logits = 3\n")
    (tmp_path / "r.json").write_text('{"isolation": "uid", "submissions": []}')
    for command in (
        ("grade", "--each", "class"),
        ("report", "r.json", "--csv", "r.csv"),
        ("marks", "r.json", "--canvas", "c.csv"),
        ("release", "--bundle", "b.zip"),
    ):
        code, _, errors = run(*command, "--course", "course.toml")
        assert code == 2 and "course.toml, line 2: points.get_logits is unknown here" in errors
    assert BY_NAME["get_logprobs"].points == 8
