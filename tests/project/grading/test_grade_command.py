"""`rlhf-course grade` and `rlhf-course report`: what they print, write and return."""

import json
import subprocess
import sys
from functools import partial

import pytest
from fake_judge import FakeJudge, FakeLimits
from handed_in import PATH, WORK, folder, zipped

from rlhf_course.cli import main
from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.grading import commands
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command line with a fake judge; gives exit code, output and errors."""
    monkeypatch.setattr(commands, "_judge_maker", lambda isolation, limits: partial(FakeJudge, tmp_path / "log"))
    monkeypatch.setattr(commands, "_require", lambda isolation: None)
    monkeypatch.setattr(commands, "_limits", lambda **given: FakeLimits())
    monkeypatch.setattr(commands, "default_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("COLUMNS", "150")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, " ".join(said.err.split())

    return call


@pytest.fixture
def handed_in(tmp_path):
    """A folder with three submissions, one of which cannot be read."""
    home = folder(tmp_path / "class", {f"ada/{PATH}": WORK, "bob.zip": b"PK\x03\x04 broken"})
    zipped(home / "cy.zip", {PATH: WORK + "# and more\n"})
    return home


def test_a_class_is_graded_to_a_table_a_json_pages_and_a_csv(run, handed_in, tmp_path):
    code, shown, _ = run(
        "grade",
        "--each",
        handed_in,
        "--json",
        tmp_path / "out/r.json",
        "--html",
        tmp_path / "html",
        "--csv",
        tmp_path / "r.csv",
    )
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == [
        "ada",
        "bob",
        "cy",
    ] and f"8 / {DEFAULT_PART.points}" in shown
    assert str(tmp_path / "html" / "index.html") in shown.replace("\n", "")
    assert (tmp_path / "html/learners/ada.html").is_file() and (tmp_path / "r.csv").read_text().count("\n") == 4
    results = json.loads((tmp_path / "out/r.json").read_text())
    assert results["version"] == 1 and results["isolation"] == "namespaces"
    assert [one["name"] for one in results["submissions"]] == ["ada", "bob", "cy"]


def test_the_json_has_the_agreed_form(run, handed_in, tmp_path):
    run("grade", handed_in / "ada", "--json", tmp_path / "r.json")
    (one,) = json.loads((tmp_path / "r.json").read_text())["submissions"]
    assert {"name", "score", "max_score", "seconds", "warnings", "exercises"} <= set(one)
    assert set(one["exercises"]) == {exercise.name for exercise in EXERCISES}
    exercise = one["exercises"]["compute_advantages"]
    assert {"score", "max_score", "status", "tests"} <= set(exercise)
    assert exercise["status"] in ("passed", "failed", "error", "timeout", "missing")
    assert {"name", "points", "status", "message"} <= set(exercise["tests"][0])


def test_a_submission_that_cannot_be_read_is_a_zero_with_its_reason_and_stops_nobody(run, handed_in, tmp_path):
    run("grade", "--each", handed_in, "--json", tmp_path / "r.json")
    ada, bob, cy = json.loads((tmp_path / "r.json").read_text())["submissions"]
    assert ada["score"] > 0 and cy["score"] > 0
    assert bob["score"] == 0 and bob["max_score"] == DEFAULT_PART.points and "is damaged" in bob["warnings"][0]
    assert {exercise["status"] for exercise in bob["exercises"].values()} == {"missing"}


def test_a_second_call_grades_nothing_anew_unless_it_is_told_to(run, handed_in, tmp_path):
    run("grade", "--each", handed_in)
    first = (tmp_path / "log").read_text()
    assert run("grade", "--each", handed_in)[0] == 0 and (tmp_path / "log").read_text() == first
    run("grade", "--each", handed_in, "--no-cache")
    assert len((tmp_path / "log").read_text()) > len(first)
    assert (tmp_path / "cache").is_dir()


def test_results_are_kept_where_they_are_told_to(run, handed_in, tmp_path):
    run("grade", "--each", handed_in, "--cache", tmp_path / "here")
    assert (tmp_path / "here").is_dir() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument"),
        (("nowhere",), "nowhere does not exist"),
        (("{ada}", "--workers", "0"), "--workers"),
        (("{ada}", "--each"), None),
        (("{ada}", "--json", "/dev/null/r.json"), "cannot be written"),
        (("{ada}", "--frobnicate"), "No such option"),
    ],
)
def test_bad_usage_is_exit_code_2(run, handed_in, arguments, words):
    code, _, errors = run("grade", *(str(one).replace("{ada}", str(handed_in / "ada")) for one in arguments))
    if words is None:
        assert code == 0, "a folder of anything is a folder of submissions"
    else:
        assert code == 2 and words in errors


def test_an_isolation_that_cannot_be_had_is_exit_code_3_before_anything_starts(run, handed_in, monkeypatch, tmp_path):
    def require(isolation):
        raise IsolationUnavailable(isolation, "the kernel says no")

    monkeypatch.setattr(commands, "_require", require)
    code, shown, errors = run("grade", handed_in / "ada", "--isolation", "uid")
    assert code == 3 and "the kernel says no" in errors and not shown and not (tmp_path / "log").exists()


def test_ctrl_c_says_how_much_is_done_and_how_to_go_on(run, handed_in, monkeypatch, tmp_path):
    real = commands.grade_all

    def interrupted(submissions, grader, kept, done):
        def count(result):
            done(result)
            raise KeyboardInterrupt

        return real(submissions, grader, kept, count)

    monkeypatch.setattr(commands, "grade_all", interrupted)
    code, shown, errors = run("grade", "--each", handed_in, "--workers", "1")
    assert code == 130 and not shown
    assert f"interrupted: 1 of 3 graded, kept in {tmp_path / 'cache'}; the same command goes on from there" in errors
    monkeypatch.setattr(commands, "grade_all", real)
    before = (tmp_path / "log").read_text().split()
    assert run("grade", "--each", handed_in, "--workers", "1")[0] == 0
    assert before[0] not in (tmp_path / "log").read_text().split()[len(before) :]


def test_a_report_is_made_from_the_results_alone(run, handed_in, tmp_path):
    run(
        "grade",
        "--each",
        handed_in,
        "--json",
        tmp_path / "r.json",
        "--html",
        tmp_path / "a",
        "--csv",
        tmp_path / "a.csv",
    )
    assert run("report", tmp_path / "r.json", "--html", tmp_path / "b", "--csv", tmp_path / "b.csv")[0] == 0
    pages = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.html"))
    assert len(pages) == 4
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


def test_the_process_that_reads_strangers_files_loads_no_torch():
    code = "import sys, rlhf_course.cli, rlhf_course.grading.limits; print('torch' in sys.modules, 'distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False",
        "False",
    ]
