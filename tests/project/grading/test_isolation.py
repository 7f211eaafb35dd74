"""Each isolation level works as root and as another user, or is refused with a message that says what to do."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox import uid_sandbox
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, require_isolation
from rlhf_course.paths import PACKAGE

GRADE_ATTACKS = Path(__file__).with_name("grade_attacks.py")
NOBODY = 65534
# Runs a command in a mount namespace where every user can read Python, even if it is below /root.
RUN_WITH_READABLE_PYTHON = """
base=$1; shift
case $base in /root/*)
    mount --bind "$base" /mnt
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$base"
    mount --bind /mnt "$base";;
esac
exec "$@"
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that imports this repository's package."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run([*command], env=environment, capture_output=True, text=True, timeout=300, check=False)


def with_readable_python(*command: str) -> list[str]:
    """Return a command that runs another one in a mount namespace where every user can read Python."""
    shell = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "bash",
        "-euc",
        RUN_WITH_READABLE_PYTHON,
        "bash",
        sys.base_prefix,
    ]
    return [*shell, *command]


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def without_namespaces(*command: str) -> list[str]:
    """Return a command that runs another one where the kernel allows no further namespaces."""
    refuse = 'for kind in user mnt pid; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; exec "$@"'
    return ["unshare", "--user", "--map-root-user", "bash", "-euc", refuse, "bash", *command]


def probe(level: str) -> list[str]:
    """Return a command that fails if the isolation level is not available."""
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
def test_a_user_other_than_root_can_use_namespaces():
    done = run(*with_readable_python(*AS_NOBODY, *probe("namespaces")))
    assert done.returncode == 0, done.stderr


@is_root
def test_root_without_cap_sys_admin_can_use_namespaces():
    done = run("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *probe("namespaces"))
    assert done.returncode == 0, done.stderr


def test_where_namespaces_are_refused_the_message_says_what_to_do():
    done = run(*without_namespaces(*probe("namespaces")))
    assert done.returncode != 0
    message = done.stderr.strip().splitlines()[-1]
    assert "IsolationUnavailable" in message and "max_user_namespaces" in message and "--isolation uid" in message


def test_grading_exits_with_3_if_the_isolation_level_is_not_available(tmp_path: Path):
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


def test_the_uid_level_is_refused_unless_the_user_is_root():
    command = with_readable_python(*AS_NOBODY, *probe("uid")) if os.geteuid() == 0 else probe("uid")
    done = run(*command)
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
        with pytest.raises(PermissionError, match=r"every user can read .*hidden"):
            uid_sandbox.UidSandbox(ResourceLimits()).prepare()


def test_the_error_for_an_unknown_level_lists_the_levels():
    with pytest.raises(CourseError, match="namespaces, uid, unsafe"):
        require_isolation("prison")


ATTACKS = [
    "exit_in_a_call",
    "fork_bomb",
    "read_other_memory",
    "look_for_answers_on_disk",
    "network",
    "kill_all_processes",
    "daemon",
]
LEVELS = {
    "namespaces": with_readable_python(*AS_NOBODY),
    "uid": with_readable_python(),
    "unsafe": [],
}


@is_root
@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_at_every_level_right_answers_get_full_marks_and_attacks_no_points(level: str):
    attacks = ATTACKS if level != "unsafe" else ATTACKS[:1]
    done = run(*LEVELS[level], sys.executable, str(GRADE_ATTACKS), level, *attacks)
    assert done.returncode == 0, done.stderr
    *hostile, right = json.loads(done.stdout.splitlines()[-1])
    assert [result["score"] for result in hostile] == [0] * len(attacks), hostile
    assert right["score"] == right["max_score"] == DEFAULT_PART.points


@pytest.mark.slow
def test_all_sandboxes_end_when_their_judge_is_killed():
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, str(GRADE_ATTACKS), "namespaces", *["loop_with_signals_blocked"] * 50]
    judge = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family: list[psutil.Process] = []
    while len(family) < 5:  # Two zygotes, the namespace spawner, a namespace holder and a worker.
        assert judge.poll() is None
        family = psutil.Process(judge.pid).children(recursive=True)
        time.sleep(0.05)
    judge.kill()
    judge.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


WRITE_OUTSIDE = """
import os
from pathlib import Path

PATH = Path({path!r})
ATTEMPTS = [
    lambda: os.truncate(PATH, 0),
    lambda: PATH.write_text("changed"),
    lambda: os.utime(PATH, (1, 1)),
    lambda: os.setxattr(PATH, "user.mark", b"1"),
    lambda: os.link(PATH, "link"),
    lambda: PATH.rename("moved"),
]


def normalize_reward(reward, eps=1e-5):
    for attempt in ATTEMPTS:
        try:
            attempt()
        except OSError:
            continue
    return (reward - reward.mean()) / (reward.std() + eps)
"""


GRADE_ONE = """
import sys
from rlhf_course.grading.judge.judge import Judge
from rlhf_course.grading.submissions.submission import Submission

level, text = sys.argv[1:]
with Judge(level) as judge:
    graded = judge.grade(Submission("one", {"part1_rlhf/normalize_reward.py": text}))
print(graded.exercises["normalize_reward"].status)
"""


@is_root
@pytest.mark.parametrize("level", ["namespaces", "uid"])
def test_a_file_that_every_user_may_write_is_left_as_it_was(level):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "shared"
        path.write_text("as it was")
        Path(folder).chmod(0o777)
        path.chmod(0o666)
        before = path.stat()
        text = WRITE_OUTSIDE.replace("{path!r}", repr(str(path)))
        done = run(*with_readable_python(sys.executable, "-c", GRADE_ONE, level, text))
        after = path.stat()
        assert done.stdout.strip() == "passed", done.stdout + done.stderr  # Each attempt was made, and refused.
        assert path.read_text() == "as it was" and not os.listxattr(path)
        assert (after.st_mtime, after.st_nlink, after.st_size) == (before.st_mtime, before.st_nlink, before.st_size)
