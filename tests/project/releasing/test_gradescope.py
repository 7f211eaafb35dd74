"""The autograder for Gradescope, run as Gradescope runs it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rlhf_course.course import DEFAULT_PART
from rlhf_course.course_file import CourseFile
from rlhf_course.grading import results
from rlhf_course.grading.course_marks import apply_course
from rlhf_course.late_work import Amount, LateRule
from rlhf_course.learner_package import WORKSPACE_VARIABLES
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.gradescope import COURSE, autograder_files, write_autograder
from rlhf_course.releasing.on_gradescope import as_gradescope, read_metadata

# On Gradescope every user can read Python; where this one lies in root's home, that is opened for what is run here.
OPEN_PYTHON = """
case $0 in /root/*)
    mount --bind "$0" /mnt
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$0"
    mount --bind /mnt "$0";;
esac
exec "$@"
"""


def test_results_have_gradescopes_form_and_say_what_was_not_right():
    tests = [
        results.TestResult(name="it is summed", points=5, status="passed"),
        results.TestResult(name="it is stable", points=3, status="failed", message="came nan,\nwanted a number"),
    ]
    exercises = {
        "calc_kl_penalty": results.ExerciseResult(
            score=5, max_score=8, status="failed", tests=tests, mistake="you took softmax and then log"
        ),
        "get_optimizer": results.ExerciseResult(score=0, max_score=8, status="missing", tests=tests),
    }
    result = results.SubmissionResult(
        name="x", score=5, max_score=16, seconds=3.2, warnings=["trainer.py is a link"], exercises=exercises
    )
    made = as_gradescope(result)
    assert (made["score"], made["output"], made["stdout_visibility"]) == (5, "trainer.py is a link", "hidden")
    kl, optimizer = made["tests"]
    assert (kl["name"], kl["score"], kl["max_score"], kl["status"]) == ("calc_kl_penalty", 5, 8, "failed")
    assert (
        "+ it is summed (5)" in kl["output"]
        and "    wanted a number" in kl["output"]
        and "softmax and then log" in kl["output"]
    )
    assert optimizer["output"] == "nothing was handed in for this exercise"


@pytest.fixture
def platform():
    """/autograder as Gradescope lays it out, elsewhere; like there, every user may pass through it."""
    home = Path(tempfile.mkdtemp(prefix="autograder-"))
    home.chmod(0o755)
    for folder in ("source", "submission", "results"):
        (home / folder).mkdir()
    write_autograder(home / "autograder.zip")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", home / "autograder.zip", home / "source"], check=True)
    shutil.copy(home / "source/run_autograder", home / "run_autograder")
    (home / "run_autograder").chmod(0o755)
    yield home
    shutil.rmtree(home)


def test_scripts_may_be_run_and_the_archive_holds_what_the_judge_needs(tmp_path):
    write_autograder(tmp_path / "autograder.zip")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert modes["setup.sh"] & 0o111 and modes["run_autograder"] & 0o111
    assert {
        f"course/solutions/{DEFAULT_PART.name}/trainer.py",
        "course/tests/hidden/part1_rlhf/test_trainer.py",
        "course/requirements.lock",
    } <= set(modes)


def test_each_archive_has_a_secret_of_its_own(tmp_path):
    secrets = []
    for name in ("first.zip", "second.zip"):
        write_autograder(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:
            secrets.append(archive.read("course/secret"))
    assert len(secrets[0]) == 65 and secrets[0] != secrets[1]


def test_setup_makes_an_environment_from_the_lock_with_torch_for_cpus_and_hides_the_tests(platform):
    programs, log = platform / "programs", platform / "log"
    programs.mkdir()
    record = f'#!/bin/sh\necho "$0 $*" >> {log}\n'
    venv = f'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp {programs}/python3.11 "$3/bin/python"; fi\n'
    for name, body in {"python3.11": record + venv, "apt-get": record}.items():
        (programs / name).write_text(body)
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", platform / "source/setup.sh"], env=environment, check=True)
    steps = log.read_text()
    assert "apt-get" not in steps, "the Python that is wanted was there"
    assert steps.index("-m venv") < steps.index("torch==2.13.0 --index-url") < steps.index("-r ")
    assert str(platform / "source/course/requirements.lock") in steps
    for hidden in ("solutions", "tests", "secret", "course.toml"):
        assert (platform / "source/course" / hidden).stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0, reason="Gradescope runs autograders as root, which this test has to be for users of their own"
)
def test_a_submission_is_graded_as_on_the_platform(platform):
    (platform / "venv").symlink_to(Path(sys.prefix))
    handed_in = platform / "submission" / DEFAULT_PART.name
    shutil.copytree(REPOSITORY / "solutions" / DEFAULT_PART.name, handed_in)
    (handed_in / "trainer.py").unlink()
    wrong = (
        REPOSITORY / "tests/hidden/part1_rlhf/calc_kl_penalty.py"
    ).read_text() + "\n\ncalc_kl_penalty = sums_over_positions\n"
    (handed_in / "calc_kl_penalty.py").write_text(wrong)
    look = "import os\n\n\ndef get_optimizer(model, base_lr, head_lr):\n    raise ValueError(open({!r}).read()[:9])\n"
    (handed_in / "get_optimizer.py").write_text(
        look.format(str(platform / "source/course/tests/hidden/part1_rlhf/test_get_optimizer.py"))
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *WORKSPACE_VARIABLES)
    }
    as_there = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", OPEN_PYTHON, sys.base_prefix]
    subprocess.run([*as_there, platform / "run_autograder"], cwd="/", env=environment, check=True, timeout=600)
    made = json.loads((platform / "results/results.json").read_text())
    tests = {test["name"]: test for test in made["tests"]}
    passed = {name for name, test in tests.items() if test["status"] == "passed"}
    everything = {exercise.name for exercise in DEFAULT_PART.exercises}
    assert passed == everything - {"RLHFTrainer", "calc_kl_penalty", "get_optimizer"}
    assert made["score"] == sum(test["score"] for test in made["tests"]) < DEFAULT_PART.points
    assert "known mistake" in tests["calc_kl_penalty"]["output"]
    assert tests["get_optimizer"]["score"] == 0 and "PermissionError" in tests["get_optimizer"]["output"]
    assert "nothing was handed in" in tests["RLHFTrainer"]["output"]


def test_gradescope_says_when_a_submission_was_handed_in_and_who_did(tmp_path):
    path = tmp_path / "submission_metadata.json"
    path.write_text('{"created_at": "2027-03-05T15:10:00.5-08:00", "users": [{"id": 1, "email": "ada@x.org"}]}')
    assert read_metadata(path) == (datetime.fromisoformat("2027-03-06T00:10:00.5+01:00"), "ada@x.org")
    for text in ("", "[]", "{}", '{"created_at": 3}', '{"created_at": "2027-03-05T15:10:00", "users": []}'):
        path.write_text(text)
        assert read_metadata(path) == (None, "")
    assert read_metadata(tmp_path / "none.json") == (None, "")


def test_gradescope_shows_the_points_that_count_and_what_being_late_costs():
    course = CourseFile(
        due={DEFAULT_PART.name: datetime.fromisoformat("2027-03-05T23:59:00+01:00")},
        late=LateRule(flat=Amount(3)),
        extensions={"Ada@x.org": {"": timedelta(days=1)}},
        points={"get_optimizer": 16},
    )
    tests = [results.TestResult(name="it ascends", points=8, status="passed")]
    exercise = results.ExerciseResult(score=8, max_score=8, status="passed", tests=tests)
    result = results.SubmissionResult(
        name="submission", score=8, max_score=8, seconds=1, warnings=[], exercises={"get_optimizer": exercise},
        handed_in=datetime.fromisoformat("2027-03-05T15:10:00-08:00"),
    )  # fmt: skip
    late = as_gradescope(apply_course(result, course, "ben@x.org"))
    assert (late["score"], late["tests"][0]["score"], late["tests"][0]["max_score"]) == (13, 16, 16)
    assert "1 day late: 3 of 16 points are subtracted" in late["output"]
    assert as_gradescope(apply_course(result, course, "ada@x.org"))["score"] == 16


def test_the_archive_holds_the_course_toml_that_it_is_made_with(tmp_path):
    (tmp_path / "course.toml").write_text("left_out = ['get_logprobs']\n")
    files = autograder_files(course_file=tmp_path / "course.toml")
    assert files[COURSE / "course.toml"] == (tmp_path / "course.toml").read_bytes()
    without = autograder_files()
    assert without[COURSE / "course.toml"] == b""
    for script in ("setup.sh", "run_autograder"):
        assert b"for path in solutions tests secret course.toml; do chmod -R go-rwx" in without[Path(script)]
