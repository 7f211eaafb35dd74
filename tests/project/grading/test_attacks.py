"""No hostile submission in attacks/ gains a point, harms the next submission, or leaves a process or file behind.

An attack's docstring says what it tries. Comments may name the exercise that it answers, the limits that it is judged
under, a pattern of the message in the report and the number of secrets that it is judged under, where it relies on
luck, and may mark it as slow.
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
from rlhf_course.grading.secret import public_secret
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY, SOLUTIONS

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.py"))
# Seconds that a busy machine may need in addition to an answer's limit.
SLACK = 30
# The processes of an idle judge: two of the zygote, the namespace spawner, the next sandbox's namespace holder and
# worker, and the namespace holder of the sandbox after it.
IDLE_PROCESSES = 6


def comment(attack: Path, key: str, default: str) -> str:
    """Return the value of a comment `# key: value` of an attack."""
    match = re.search(rf"^# {key}: (.+)$", attack.read_text(), flags=re.MULTILINE)
    return match[1] if match else default


def reference(exercise: str) -> str:
    return (SOLUTIONS / BY_NAME[exercise].path).read_text()


def judged(judge: Judge, exercise: str, text: str) -> ExerciseResult:
    """Return the result of an exercise, for a submission that answers it with a text, and no other exercise."""
    result = judge.grade(Submission("one", {BY_NAME[exercise].path: text}, parts=(BY_NAME[exercise].part,)))
    assert all(other.status == "missing" for name, other in result.exercises.items() if name != exercise)
    assert result.score == result.exercises[exercise].score
    return result.exercises[exercise]


def has_full_marks(result: ExerciseResult) -> bool:
    return result.status == "passed" and result.score == result.max_score > 0


def wait_until_idle(judge: Judge) -> None:
    """Wait until the judge has no more processes than an idle one; the next sandbox starts while others run."""
    deadline = time.monotonic() + SLACK
    zygote = psutil.Process(judge._zygote._process.pid)  # An orphan in its pid namespace becomes its descendant.
    while len(running := [zygote, *zygote.children(recursive=True)]) != IDLE_PROCESSES and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(running) == IDLE_PROCESSES, running


@contextmanager
def nothing_left(judge: Judge) -> Iterator[None]:
    """Assert that the block leaves processes, mounts, open files, and temporary and course folders as they were."""

    def traces() -> dict[str, set]:
        folders = [
            Path(tempfile.gettempdir()),
            Path("/dev/shm"),
            REPOSITORY / "solutions",
            REPOSITORY / "tests",
            REPOSITORY,
        ]
        existing = [folder for folder in folders if folder.is_dir()]
        paths = {path for folder in existing for path in folder.iterdir() if path.name != "__pycache__"}
        return {
            "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
            "open files": set(os.listdir("/proc/self/fd")),
            "files": {(str(path), path.stat().st_size) for path in paths if path.is_file()},
        }

    wait_until_idle(judge)
    before = traces()
    yield
    wait_until_idle(judge)
    after = traces()
    # Other programs use the temporary folder too, so only new files with names of the course or an attack count.
    ours = re.compile("flood|escaped|left-by|pickled|rlhf")
    after["files"] = {file for file in after["files"] if file in before["files"] or ours.search(Path(file[0]).name)}
    assert not {kind: new for kind in before if (new := after[kind] - before[kind])}


def case(attack: Path):
    return pytest.param(attack, id=attack.stem, marks=[pytest.mark.slow] if comment(attack, "slow", "") else [])


@pytest.mark.parametrize("attack", map(case, ATTACKS))
def test_an_attack_gains_no_points_and_leaves_nothing_behind(
    judge: Judge, attack: Path, monkeypatch: pytest.MonkeyPatch
):
    exercise = comment(attack, "exercise", "compute_advantages")
    limits = {name: float(value) for name, value in re.findall(r"(\w+)=(\d+)", comment(attack, "limits", ""))}
    with nothing_left(judge):
        judge.grade(Submission("warm up", {}))
        with monkeypatch.context() as patch:
            patch.setattr(judge, "limits", replace(judge.limits, **limits))
            start = time.monotonic()
            result = judged(judge, exercise, attack.read_text())
            seconds = time.monotonic() - start
        neighbour = judged(judge, exercise, reference(exercise))
    assert result.score == 0, [(test.name, test.points) for test in result.tests if test.status == "passed"]
    assert result.status in ("error", "failed", "timeout")
    assert all(test.message for test in result.tests)
    assert not re.search(r"[<>]|/proc|Passed|exit code 1[789]", " ".join(test.message for test in result.tests))
    for number in range(int(comment(attack, "secrets", "0"))):
        with monkeypatch.context() as patch:
            patch.setattr(judge, "secret", public_secret(number))
            assert judged(judge, exercise, attack.read_text()).score == 0, f"luck under secret {number}"
    pattern = comment(attack, "message", ".")
    assert any(re.search(pattern, test.message) for test in result.tests), result.tests[0].message
    assert seconds < judge.limits.exercise_timeout + SLACK
    assert has_full_marks(neighbour), neighbour


def test_every_attack_says_what_it_tries_and_there_are_enough_of_them():
    assert len(ATTACKS) >= 30
    assert all(re.match(r'"""[A-Z].{20,}\."""\n', attack.read_text()) for attack in ATTACKS)
