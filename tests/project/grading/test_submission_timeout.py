"""The time of a submission is limited as a whole: what comes after the limit is a timeout with a sentence."""

from dataclasses import replace

import pytest

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.judge import Judge
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.proxies import SandboxedAnswers
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS

EXERCISES = [exercise for exercise in DEFAULT_PART.exercises if exercise.module == exercise.name]
SENTENCE = "all exercises of the submission together took over 1.5 seconds"
SLOW = {
    "sleeps at import": "import time\ntime.sleep(60)\ndef {name}(*args, **kwargs): pass\n",
    "sleeps in a call": "import time\ndef {name}(*args, **kwargs): time.sleep(60)\n",
    "spins": "def {name}(*args, **kwargs):\n    while True: pass\n",
    "is stopped": "import os, signal\ndef {name}(*args, **kwargs): os.kill(os.getpid(), signal.SIGSTOP)\n",
    "spins in C": "def {name}(*args, **kwargs): sum(range(10**12))\n",
    "is a little slow in each call": "import time\ndef {name}(*args, **kwargs): time.sleep(0.9)\n",
    "catches every exception": (
        "def {name}(*args, **kwargs):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass\n"
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_exercises_after_the_submissions_time_are_timeouts_and_the_next_submission_is_judged(judge, monkeypatch, kind):
    slow = {exercise.path: SLOW[kind].format(name=exercise.name) for exercise in EXERCISES}
    with monkeypatch.context() as patch:
        patch.setattr(judge, "limits", replace(judge.limits, submission_timeout=1.5))
        result = judge.grade(Submission("eve", slow))
    assert result.score == 0 and result.is_decided_by_limits
    for exercise in DEFAULT_PART.exercises[4:]:
        graded = result.exercises[exercise.name]
        if exercise in EXERCISES:
            assert graded.status == "timeout", (exercise.name, graded)
            assert {test.message for test in graded.tests} == {SENTENCE}
        else:
            assert graded.status == "missing"
    honest = EXERCISES[0]
    again = judge.grade(Submission("ada", {honest.path: (SOLUTIONS / honest.path).read_text()}))
    assert again.exercises[honest.name].status == "passed"


def test_no_sandbox_is_started_after_the_submissions_time():
    files = {exercise.path: "" for exercise in EXERCISES}
    submission = Submission("eve", files, unreadable=("get_optimizer",))
    with SandboxedAnswers(None, submission, ResourceLimits(submission_timeout=1e-9)) as answers:  # type: ignore[arg-type]
        run = run_suite(answers, [exercise.name for exercise in DEFAULT_PART.exercises])
    statuses = {name: {test.status for test in tests} for name, tests in run.items()}
    assert statuses["get_optimizer"] == {"unreadable"}
    assert all(statuses[exercise.name] == {"timeout"} for exercise in EXERCISES if exercise.name != "get_optimizer")
    assert all(
        statuses[exercise.name] == {"missing"} for exercise in DEFAULT_PART.exercises if exercise not in EXERCISES
    )


@pytest.mark.slow
def test_what_was_judged_before_the_end_of_the_time_keeps_its_points(judge: Judge, monkeypatch):
    first, *others = EXERCISES
    files = {exercise.path: SLOW["spins"].format(name=exercise.name) for exercise in others}
    files[first.path] = (SOLUTIONS / first.path).read_text()
    monkeypatch.setattr(judge, "limits", replace(judge.limits, submission_timeout=10, timeout=1))
    result = judge.grade(Submission("ada", files))
    assert result.exercises[first.name].status == "passed" and result.score == first.points


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_the_limit_is_above_0(seconds):
    with pytest.raises(CourseError, match="submission_timeout"):
        ResourceLimits(submission_timeout=seconds)
