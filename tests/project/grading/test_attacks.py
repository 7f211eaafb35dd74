"""Hostile submissions, one file each in attacks/: none gains a point, harms a neighbour, or leaves a trace.

An attack's docstring says what it tries. Comments may say which exercise it answers, under which limits it is judged,
what the report tells of it, and that it is slow.
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from rlhf_course.course import BY_NAME
from rlhf_course.grading.judge.judge import Judge
from rlhf_course.grading.results import ExerciseResult
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY, SOLUTIONS

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.py"))
# Seconds that a busy machine may take on top of what an answer is allowed.
SLACK = 30
# Processes of a judge at rest: two of the zygote, the porter, the next sandbox with its room, and a room for the one after.
IDLE = 6


def said(attack: Path, what: str, otherwise: str) -> str:
    """What a comment of an attack says."""
    found = re.search(rf"^# {what}: (.+)$", attack.read_text(), flags=re.MULTILINE)
    return found[1] if found else otherwise


def reference(exercise: str) -> str:
    return (SOLUTIONS / "part1_rlhf" / BY_NAME[exercise].file).read_text()


def judged(judge: Judge, exercise: str, text: str) -> ExerciseResult:
    """The result of an exercise, of a submission that answers it with a text and no other."""
    result = judge.grade(Submission("one", {BY_NAME[exercise].path: text}))
    assert all(one.status == "missing" for name, one in result.exercises.items() if name != exercise)
    assert result.score == result.exercises[exercise].score
    return result.exercises[exercise]


def is_whole(result: ExerciseResult) -> bool:
    return result.status == "passed" and result.score == result.max_score > 0


def wait_until_idle(judge: Judge) -> None:
    """Wait until the judge has its processes and no more; the next sandbox starts while it goes on."""
    deadline = time.monotonic() + SLACK
    zygote = psutil.Process(judge._zygote._process.pid)  # whoever is left behind becomes a child below it
    while len(running := [zygote, *zygote.children(recursive=True)]) != IDLE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(running) == IDLE, running


@contextmanager
def nothing_left(judge: Judge) -> Iterator[None]:
    """Asks that processes, mounts, open files, and files in temporary and course folders are as before."""

    def traces() -> dict[str, set]:
        places = [
            Path(tempfile.gettempdir()),
            Path("/dev/shm"),
            REPOSITORY / "solutions",
            REPOSITORY / "tests",
            REPOSITORY,
        ]
        listed = {path for place in places if place.is_dir() for path in place.iterdir() if path.name != "__pycache__"}
        return {
            "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
            "open files": set(os.listdir("/proc/self/fd")),
            "files": {(str(path), path.stat().st_size) for path in listed if path.is_file()},
        }

    wait_until_idle(judge)
    before = traces()
    yield
    wait_until_idle(judge)
    after = traces()
    # Other programs use the temporary folder too: a difference that matters is one that names us or an attack.
    ours = re.compile("flood|escaped|left-by|pickled|rlhf")
    after["files"] = {one for one in after["files"] if one in before["files"] or ours.search(Path(one[0]).name)}
    assert {what: after[what] - before[what] for what in before} == dict.fromkeys(before, set())


def case(attack: Path):
    return pytest.param(attack, id=attack.stem, marks=[pytest.mark.slow] if said(attack, "slow", "") else [])


@pytest.mark.parametrize("attack", map(case, ATTACKS))
def test_an_attack_gains_nothing_and_leaves_nothing(judge: Judge, attack: Path, monkeypatch: pytest.MonkeyPatch):
    exercise = said(attack, "answers", "compute_advantages")
    limits = {name: float(value) for name, value in re.findall(r"(\w+)=(\d+)", said(attack, "limits", ""))}
    with nothing_left(judge):
        judge.grade(Submission("warm up", {}))
        with monkeypatch.context() as patch:
            patch.setattr(judge, "limits", replace(judge.limits, **limits))
            began = time.monotonic()
            result = judged(judge, exercise, attack.read_text())
            seconds = time.monotonic() - began
        neighbour = judged(judge, exercise, reference(exercise))
    assert result.score == 0, [(test.name, test.points) for test in result.tests if test.status == "passed"]
    assert result.status in ("error", "failed", "timeout")
    assert all(test.message for test in result.tests)
    assert not re.search(r"[<>]|/proc|Passed|exit code 1[789]", " ".join(test.message for test in result.tests))
    assert any(re.search(said(attack, "told", "."), test.message) for test in result.tests), result.tests[0].message
    assert seconds < judge.limits.exercise_timeout + SLACK
    assert is_whole(neighbour), neighbour


def test_every_attack_says_what_it_tries_and_there_are_enough_of_them():
    assert len(ATTACKS) >= 30
    assert all(re.match(r'"""[A-Z].{20,}\."""\n', attack.read_text()) for attack in ATTACKS)
