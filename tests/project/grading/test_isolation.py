"""Levels of isolation: each as root and as another user, and a refusal where the asked one cannot be had."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from rlhf_course.course import EXERCISES
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox import uid_sandbox
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, require_isolation
from rlhf_course.paths import PACKAGE

GRADE = Path(__file__).with_name("grade_attacks.py")
NOBODY = 65534
# Every user can read Python in here, wherever root has it.
OPEN_PYTHON = """
base=$1; shift
case $base in /root/*)
    mount --bind "$base" /mnt
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$base"
    mount --bind /mnt "$base";;
esac
exec "$@"
"""


def run(*words: str) -> subprocess.CompletedProcess:
    """Run a program that finds the package of these tests."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run([*words], env=environment, capture_output=True, text=True, timeout=300, check=False)


def as_other_user(*words: str) -> list[str]:
    """The words of a command that runs others with Python open to all, and as nobody where this is root."""
    shell = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", OPEN_PYTHON, "bash", sys.base_prefix]
    return [*shell, *words]


NOBODYS = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def without_namespaces(*words: str) -> list[str]:
    """The words of a command that runs others where the system allows no namespaces."""
    refuse = 'for kind in user mnt pid; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; exec "$@"'
    return ["unshare", "--user", "--map-root-user", "bash", "-euc", refuse, "bash", *words]


def ask(level: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"from rlhf_course.grading.sandbox.isolation import require_isolation; require_isolation({level!r})",
    ]


@pytest.fixture(scope="module", autouse=True)
def _namespaces_here() -> None:
    try:
        require_isolation("namespaces")
    except IsolationUnavailable as error:
        pytest.skip(str(error))


@is_root
def test_a_normal_user_has_namespaces_too():
    done = run(*as_other_user(*NOBODYS, *ask("namespaces")))
    assert done.returncode == 0, done.stderr


@is_root
def test_root_without_the_right_to_administrate_has_namespaces_as_a_normal_user_has():
    done = run("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *ask("namespaces"))
    assert done.returncode == 0, done.stderr


def test_where_namespaces_are_refused_the_message_says_what_to_do():
    done = run(*without_namespaces(*ask("namespaces")))
    assert done.returncode != 0
    message = done.stderr.strip().splitlines()[-1]
    assert "IsolationUnavailable" in message and "max_user_namespaces" in message and "--isolation uid" in message


def test_grading_exits_with_3_where_the_asked_isolation_cannot_be_had(tmp_path: Path):
    answers = tmp_path / "part1_rlhf"
    answers.mkdir()
    (answers / "normalize_reward.py").write_text("def normalize_reward(reward, eps=1e-5):\n    return reward\n")
    grade = [
        sys.executable,
        "-c",
        "from rlhf_course.cli import main; main()",
        "grade",
        str(tmp_path),
        "--no-cache",
        "--workers",
        "1",
    ]
    done = run(*without_namespaces(*grade))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "namespaces" in done.stderr and "Traceback" not in done.stderr


def test_the_uid_level_is_refused_to_whoever_is_not_root():
    words = as_other_user(*NOBODYS, *ask("uid")) if os.geteuid() == 0 else ask("uid")
    done = run(*words)
    assert done.returncode != 0 and "this process is not root" in done.stderr


@is_root
def test_without_landlock_the_uid_level_is_refused_while_everyone_can_read_the_hidden_tests(
    monkeypatch: pytest.MonkeyPatch,
):
    with tempfile.TemporaryDirectory() as folder:
        hidden = Path(folder) / "tests" / "hidden"
        hidden.mkdir(parents=True)
        Path(folder).chmod(0o755)
        monkeypatch.setattr(uid_sandbox, "REPOSITORY", Path(folder))
        monkeypatch.setattr(uid_sandbox.linux_syscalls, "has_landlock", lambda: False)
        monkeypatch.setattr(uid_sandbox, "_first_closed_path", lambda paths: "")
        with pytest.raises(PermissionError, match="every user can read .*hidden"):
            uid_sandbox.UidSandbox(ResourceLimits()).prepare()


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match="namespaces, uid, unsafe"):
        require_isolation("prison")


ATTACKS = [
    "exit_without_goodbye",
    "fork_bomb",
    "read_other_memory",
    "look_for_answers_on_disk",
    "network",
    "kill_everyone",
    "daemon",
]
LEVELS = {
    "namespaces": as_other_user(*NOBODYS),
    "uid": as_other_user(),
    "unsafe": [],
}


@is_root
@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_gives_right_answers_their_marks_and_attacks_none(level: str):
    attacks = ATTACKS if level != "unsafe" else ATTACKS[:1]
    done = run(*LEVELS[level], sys.executable, str(GRADE), level, *attacks)
    assert done.returncode == 0, done.stderr
    *hostile, right = json.loads(done.stdout.splitlines()[-1])
    assert [one["score"] for one in hostile] == [0] * len(attacks), hostile
    assert right["score"] == right["max_score"] == sum(one.points for one in EXERCISES)


@pytest.mark.slow
def test_a_judge_that_is_killed_takes_its_sandboxes_with_it():
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, str(GRADE), "namespaces", *["loop_deaf_to_signals"] * 50]
    judge = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family = []
    while len(family) < 5:  # two zygotes, the porter, a room and an answer in it
        assert judge.poll() is None
        family = psutil.Process(judge.pid).children(recursive=True)
        time.sleep(0.05)
    judge.kill()
    judge.wait()
    gone, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
