"""`rlhf-course grade` and `rlhf-course report` print, write and return what they should."""

import errno
import json
import lzma
import re
import subprocess
import sys
from functools import partial

import pytest
from fake_judge import FakeJudge
from submission_files import ANSWER, PATH, write_folder, write_zip

from rlhf_course.cli import main
from rlhf_course.course import DEFAULT_PART, PARTS_BY_NAME
from rlhf_course.grading.commands import grade_command, grader
from rlhf_course.grading.reports.changes import Change, changed_marks
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable
from rlhf_course.grading.secret import create_secret, read_secret
from rlhf_course.grading.submissions.submission import Submission


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command line with a fake judge, and return the exit code, the output and the errors."""
    monkeypatch.setattr(
        grader, "_judge_factory", lambda isolation, limits, secret: partial(FakeJudge, tmp_path / "log")
    )
    monkeypatch.setattr(grader, "require_isolation", lambda level: None)
    monkeypatch.setattr(grade_command, "default_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(grade_command, "default_secret_file", lambda: tmp_path / "data/secret")
    monkeypatch.setenv("COLUMNS", "150")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out, " ".join(captured.err.split())

    return call


@pytest.fixture
def class_folder(tmp_path):
    """A folder with three submissions, one of which cannot be read."""
    class_folder = write_folder(tmp_path / "class", {f"ada/{PATH}": ANSWER, "bob.zip": b"PK\x03\x04 broken"})
    write_zip(class_folder / "cy.zip", {PATH: ANSWER + "# and more\n"})
    return class_folder


def test_a_class_is_graded_to_a_table_a_json_pages_and_a_csv(run, class_folder, tmp_path):
    code, shown, _ = run(
        "grade",
        "--each",
        class_folder,
        "--json",
        tmp_path / "out/r.json",
        "--html",
        tmp_path / "html",
        "--csv",
        tmp_path / "r.csv",
    )
    assert code == 0
    table = shown[shown.index("submission") :]
    assert [line.split()[0] for line in table.splitlines()[1:4]] == [
        "ada",
        "bob",
        "cy",
    ] and f"8 / {DEFAULT_PART.points}" in shown
    assert str(tmp_path / "html" / "index.html") in shown.replace("\n", "")
    assert (tmp_path / "html/learners/ada.html").is_file() and (tmp_path / "r.csv").read_text().count("\n") == 4
    results = json.loads((tmp_path / "out/r.json").read_text())
    assert results["version"] == 1 and results["isolation"] == "namespaces"
    assert [result["name"] for result in results["submissions"]] == ["ada", "bob", "cy"]


HOSTILE_FILES = {
    "undefined": {PATH: "# coding: undefined\n"},
    "punycode": {PATH: "# coding: punycode\n" + "a-" * 200_000},
    "surrogate": {PATH: b"x = '\xed\xa0\x80'\n"},
    "dicts": {"a.ipynb": "[" + "{}," * 16_000_000 + "0]"},
    "nested": {"a.ipynb": "[" * 1_000_000},
    "archive": {"a.zip": b"PK\x03\x04 broken"},
    "slashes": {"part1_rlhf/a\\b\x1b[31m.py": ANSWER},
    "xz": {"a.tar.xz": lzma.compress(bytes(220_000_000), preset=0)},
}


def test_in_a_class_with_hostile_hand_ins_the_others_have_the_marks_that_they_have_alone(run, tmp_path):
    honest = {f"honest{number:02}/{PATH}": f"{ANSWER}# {number}\n" for number in range(len(HOSTILE_FILES))}
    write_folder(tmp_path / "alone", honest)
    write_folder(tmp_path / "class", honest)
    for number, (name, files) in enumerate(HOSTILE_FILES.items()):
        write_folder(tmp_path / f"class/honest{number:02}-{name}", files)
    for name in ("alone", "class"):
        outputs = (
            "--json",
            tmp_path / f"{name}.json",
            "--csv",
            tmp_path / f"{name}.csv",
            "--html",
            tmp_path / name / ".h",
        )
        assert run("grade", "--no-cache", "--each", tmp_path / name, *outputs)[0] == 0
    alone, together = (
        {result["name"]: result for result in json.loads((tmp_path / f"{name}.json").read_text())["submissions"]}
        for name in ("alone", "class")
    )
    assert {name: result for name, result in together.items() if "-" not in name} == alone
    statuses = {name: result["exercises"]["compute_advantages"]["status"] for name, result in together.items()}
    assert statuses["honest00-undefined"] == statuses["honest03-dicts"] == statuses["honest05-archive"] == "unreadable"
    assert statuses["honest06-slashes"] == "missing"
    assert "compute_advantages status" in (tmp_path / "class.csv").read_text()
    assert "unreadable" in (tmp_path / "class.csv").read_text()
    assert "could not be read" in (tmp_path / "class/.h/learners/honest03-dicts.html").read_text()


def test_the_json_has_the_agreed_form(run, class_folder, tmp_path):
    run("grade", class_folder / "ada", "--json", tmp_path / "r.json")
    (submission,) = json.loads((tmp_path / "r.json").read_text())["submissions"]
    assert {"name", "score", "max_score", "seconds", "warnings", "exercises"} <= set(submission)
    assert set(submission["exercises"]) == {exercise.name for exercise in DEFAULT_PART.exercises}
    exercise = submission["exercises"]["compute_advantages"]
    assert {"score", "max_score", "status", "tests"} <= set(exercise)
    assert exercise["status"] in ("passed", "failed", "error", "timeout", "missing", "unreadable")
    assert {"name", "points", "status", "message"} <= set(exercise["tests"][0])


def test_a_submission_that_cannot_be_read_is_a_zero_with_its_reason_and_stops_nobody(run, class_folder, tmp_path):
    run("grade", "--each", class_folder, "--json", tmp_path / "r.json")
    ada, bob, cy = json.loads((tmp_path / "r.json").read_text())["submissions"]
    assert ada["score"] > 0 and cy["score"] > 0
    assert bob["score"] == 0 and bob["max_score"] == DEFAULT_PART.points and "is damaged" in bob["warnings"][0]
    assert {exercise["status"] for exercise in bob["exercises"].values()} == {"unreadable"}


def test_a_log_holds_start_machine_isolation_progress_warnings_and_totals(run, class_folder):
    _, _, errors = run("grade", "--each", class_folder, "--workers", "1", "--isolation", "unsafe")
    assert re.match(r"\S+ \d{4}-\d\d-\d\d grading 3 submissions on .* cores, .*; isolation unsafe, 1 workers,", errors)
    assert "starting the judges" in errors and "read 3 of 3, judged 3 of 3" in errors
    assert re.search(r" bob: .*is damaged", errors) and "finished: 3 of 3 submissions in" in errors


def test_a_second_call_takes_the_cached_results_unless_no_cache_is_given(run, class_folder, tmp_path):
    run("grade", "--each", class_folder)
    first = (tmp_path / "log").read_text()
    assert run("grade", "--each", class_folder)[0] == 0 and (tmp_path / "log").read_text() == first
    run("grade", "--each", class_folder, "--no-cache")
    assert len((tmp_path / "log").read_text()) > len(first)
    assert (tmp_path / "cache").is_dir()


def test_results_are_stored_in_the_named_cache_folder(run, class_folder, tmp_path):
    run("grade", "--each", class_folder, "--cache", tmp_path / "here")
    assert (tmp_path / "here").is_dir() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a SUBMISSION to grade"),
        (("nowhere",), "nowhere does not exist"),
        (("{ada}", "--workers", "0"), "--workers"),
        (("{ada}", "--each"), None),
        (("{ada}", "--json", "/dev/null/r.json"), "cannot be written"),
        (("{ada}", "--explain-to", "there"), "add --explain SUBMISSION EXERCISE TEST"),
        (("{ada}", "--frobnicate"), "No such option"),
    ],
)
def test_bad_usage_is_exit_code_2(run, class_folder, arguments, words):
    code, _, errors = run(
        "grade", *(str(argument).replace("{ada}", str(class_folder / "ada")) for argument in arguments)
    )
    if words is None:
        assert code == 0, "a folder of anything is a folder of submissions"
    else:
        assert code == 2 and words in errors


def test_unavailable_isolation_is_exit_code_3_before_a_worker_starts(run, class_folder, monkeypatch, tmp_path):
    def refuse(level):
        raise IsolationUnavailable(level, "the kernel says no")

    monkeypatch.setattr(grader, "require_isolation", refuse)
    code, shown, errors = run("grade", class_folder / "ada", "--isolation", "uid")
    assert code == 3 and "the kernel says no" in errors and not shown and not (tmp_path / "log").exists()


def test_after_ctrl_c_the_message_says_how_much_is_graded_and_how_to_continue(run, class_folder, monkeypatch, tmp_path):
    real = grader.grade_all

    def interrupted(submissions, grader, cache, on_result):
        def interrupt(submission, result):
            on_result(submission, result)
            raise KeyboardInterrupt

        return real(submissions, grader, cache, interrupt)

    monkeypatch.setattr(grader, "grade_all", interrupted)
    code, shown, errors = run("grade", "--each", class_folder, "--workers", "1")
    assert code == 130 and not shown
    assert f"interrupted: 1 of 3 graded and stored in {tmp_path / 'cache'}; run the same command again" in errors
    monkeypatch.setattr(grader, "grade_all", real)
    before = (tmp_path / "log").read_text().split()
    assert run("grade", "--each", class_folder, "--workers", "1")[0] == 0
    assert before[0] not in (tmp_path / "log").read_text().split()[len(before) :]


def test_a_report_is_made_from_the_results_alone(run, class_folder, tmp_path):
    run(
        "grade",
        "--each",
        class_folder,
        "--json",
        tmp_path / "r.json",
        "--html",
        tmp_path / "a",
        "--csv",
        tmp_path / "a.csv",
    )
    assert run("report", tmp_path / "r.json", "--html", tmp_path / "b", "--csv", tmp_path / "b.csv")[0] == 0
    pages = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.html"))
    assert len(pages) == 4 + len(DEFAULT_PART.exercises)
    for page in [*pages]:
        assert (tmp_path / "b" / page).read_text() == (tmp_path / "a" / page).read_text()
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 2, "isolation": "uid", "submissions": []}', None])
def test_a_file_that_holds_no_results_is_bad_usage(run, tmp_path, content):
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    code, _, errors = run("report", tmp_path / "r.json", "--html", tmp_path / "b")
    assert code == 2 and "r.json" in errors


def test_a_report_of_nothing_is_bad_usage(run, tmp_path):
    assert run("report", tmp_path / "r.json")[0] == 2


def test_the_command_line_and_the_limits_load_neither_torch_nor_dask():
    code = (
        "import sys, rlhf_course.cli, rlhf_course.grading.limits; "
        "print('torch' in sys.modules, 'distributed' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_without_a_submission_the_command_says_what_to_name(run):
    code, _, error = run("grade")
    assert code == 2 and "name a SUBMISSION to grade" in error


def test_results_name_the_secret_and_grading_with_another_one_says_so(run, class_folder, tmp_path):
    results = tmp_path / "r.json"
    run("grade", "--each", class_folder, "--json", results)
    first = json.loads(results.read_text())["secret"]
    assert first == read_secret(tmp_path / "data/secret").fingerprint
    _, _, again = run("grade", "--each", class_folder, "--json", results)
    assert "another secret" not in again
    create_secret(tmp_path / "other")
    _, _, other = run("grade", "--each", class_folder, "--json", results, "--secret-file", tmp_path / "other")
    assert f"were graded with another secret ({first})" in other and "no mark differs" in other
    assert json.loads(results.read_text())["secret"] == read_secret(tmp_path / "other").fingerprint


def test_where_another_suite_changes_marks_they_are_listed_and_nothing_is_written_without_replace(
    run, class_folder, tmp_path
):
    results, arguments = tmp_path / "r.json", ("grade", "--each", class_folder, "--json", tmp_path / "r.json")
    run(*arguments)
    grades = json.loads(results.read_text())
    assert grades["suite"]
    ada = grades["submissions"][0]["exercises"]["compute_advantages"]
    assert ada["score"] == 8
    grades["suite"], ada["score"] = "older", 5
    results.write_text(json.dumps(grades))
    before = results.read_text()
    code, shown, errors = run(*arguments, "--html", tmp_path / "html")
    assert code == 1 and "nothing was written: add --replace" in errors and "submission" not in shown
    assert "were graded with other hidden tests, or another judge (older)" in errors
    assert "ada compute_advantages 5 / 8 passed 8 / 8 passed" in errors and "marks of 1 learner differs" in errors
    assert results.read_text() == before and not (tmp_path / "html").exists()
    code, _, errors = run(*arguments, "--replace")
    assert code == 0 and "5 / 8" in errors
    assert json.loads(results.read_text())["submissions"][0]["exercises"]["compute_advantages"]["score"] == 8
    code, _, errors = run(*arguments)
    assert code == 0 and "differ" not in errors


def test_a_submission_that_only_one_grading_holds_is_listed_with_its_points():
    ada, ben = (
        FakeJudge().grade(Submission(name, {f"{DEFAULT_PART.name}/compute_advantages.py": "#####"}))
        for name in ("ada", "ben")
    )
    assert changed_marks([ada], [ada, ben]) == [Change("ben", "", "-", f"5 / {DEFAULT_PART.points}")]
    assert changed_marks([ada, ben], [ada]) == [Change("ben", "", f"5 / {DEFAULT_PART.points}", "-")]


def test_results_of_one_secret_are_not_taken_for_another(run, class_folder, tmp_path):
    def judged() -> int:
        return len((tmp_path / "log").read_text().splitlines()) if (tmp_path / "log").exists() else 0

    run("grade", "--each", class_folder)
    first = judged()
    run("grade", "--each", class_folder)
    assert judged() == first > 0
    create_secret(tmp_path / "other")
    run("grade", "--each", class_folder, "--secret-file", tmp_path / "other")
    assert judged() > first


def test_an_unknown_part_is_refused_with_the_parts_that_there_are(run, class_folder, tmp_path):
    code, _, error = run("grade", "--each", class_folder, "--part", "part9", "--json", tmp_path / "r.json")
    assert code == 2 and ", ".join([*PARTS_BY_NAME, "all"]) in error and "got part9" in error
    assert not (tmp_path / "r.json").exists()


def test_the_results_are_written_although_nobody_reads_what_is_printed(run, class_folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(grade_command, "print_results", refuse)
    code, _, errors = run("grade", "--each", class_folder, "--json", tmp_path / "r.json")
    assert code and "error" not in errors
    assert len(json.loads((tmp_path / "r.json").read_text())["submissions"]) == 3
