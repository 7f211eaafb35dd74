"""Learners are followed over several assignments by their names, and names that are missing somewhere are listed."""

import sys

import pytest
from test_comments import graded

from rlhf_course.cli import main
from rlhf_course.grading.reports.assignments import follow
from rlhf_course.grading.results import GradeReport


def report(**statuses: str) -> GradeReport:
    """An assignment in which each learner has one exercise with a status."""
    return GradeReport(isolation="uid", submissions=[graded(name, status=status) for name, status in statuses.items()])


FIRST = report(ada="failed", ben="passed", cy="unreadable", dee="failed")
SECOND = report(Ada="passed", ben="passed", cy="passed", eve="failed")


def test_scores_are_matched_by_name_and_what_could_not_be_read_is_no_zero():
    progress = follow({"one": FIRST, "two": SECOND})
    assert [(learner.name, learner.percents, learner.change) for learner in progress.learners] == [
        ("Ada", [0, 100], 100),
        ("ben", [100, 100], 0),
        ("cy", [None, 100], None),
        ("dee", [0, None], None),
        ("eve", [None, 0], None),
    ]
    one, two = progress.assignments
    assert (one.submissions, one.unread, one.mean, two.mean) == (4, 1, pytest.approx(100 / 3), 75)


def test_names_that_are_not_in_every_assignment_are_listed():
    assert follow({"one": FIRST, "two": SECOND}).unmatched == ["dee is not in two", "eve is not in one"]


def test_two_learners_of_one_class_whose_names_differ_in_case_alone_both_stay():
    both = report(ada="passed", Ada="failed", ben="passed")
    progress = follow({"one": both, "two": report(ada="passed", BEN="passed")})
    assert [(learner.name, learner.percents) for learner in progress.learners] == [
        ("ada", [100, 100]),
        ("Ada", [0, None]),
        ("BEN", [100, 100]),
    ]


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    return int(exit_info.value.code or 0)


def test_a_report_of_several_results_has_a_page_for_the_course_and_one_for_each_assignment(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "one.json").write_text(FIRST.model_dump_json())
    (tmp_path / "two.json").write_text(SECOND.model_dump_json())
    arguments = ("report", tmp_path / "one.json", tmp_path / "two.json")
    assert command(monkeypatch, *arguments, "--html", tmp_path / "html", "--csv", tmp_path / "c.csv") == 0
    assert "dee is not in two" in capsys.readouterr().out
    index = (tmp_path / "html/index.html").read_text()
    assert 'href="one/index.html"' in index and "+100" in index and "eve is not in one" in index
    assert (tmp_path / "html/two/learners/ben.html").is_file()
    assert (tmp_path / "c.csv").read_text().splitlines()[:2] == ["name,one,two,change", "Ada,0.0,100.0,100.0"]


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path, monkeypatch):
    for name, results in (("first", FIRST), ("second", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.json").write_text(results.model_dump_json())
    paths = [tmp_path / name / "r.json" for name in ("first", "second")]
    assert command(monkeypatch, "report", *paths, "--csv", tmp_path / "c.csv") == 0
    assert (tmp_path / "c.csv").read_text().startswith("name,first/r,second/r,change\n")
