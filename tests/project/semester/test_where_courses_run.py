"""The recipes in docs/recipes: their steps run here, one by one, in the place of the service that would run them."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.grading.secret import create_secret
from rlhf_course.learner_package import WORKSPACE_VARIABLES
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.bundle import TOP, write_bundle
from rlhf_course.releasing.leaks import leaks

RECIPES = REPOSITORY / "docs/recipes"
# The steps that need GitHub's machine or the network. The container's test installs the lock in the same way.
NOT_RUN = {"Allow unprivileged user namespaces", "Install"}


def run_steps(workflow: Path, repository: Path, inputs: dict[str, str], environment: dict[str, str]) -> str:
    """Run the steps of a workflow's only job with bash, as GitHub does, and return what they print.

    Raises:
        AssertionError: A step failed.
    """
    (job,) = yaml.safe_load(workflow.read_text())["jobs"].values()
    printed = ""
    for step in job["steps"]:
        if "uses" in step or step["name"] in NOT_RUN:
            continue
        variables = {
            name: _filled(value, inputs) for name, value in {**job.get("env", {}), **step.get("env", {})}.items()
        }
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=repository / step.get("working-directory", "."),
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=600,
        )
        printed += done.stdout + done.stderr
        assert done.returncode == 0, f"{step['name']}\n{printed[-4000:]}"
    return printed


def _filled(value: Any, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.]+) }}", lambda match: inputs[match[1]], str(value))


def runner(tmp_path: Path, package: Path) -> dict[str, str]:
    """Return the environment of a runner on which the step Install has installed a repository's package."""
    (tmp_path / "runner").mkdir()
    (tmp_path / "programs").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in WORKSPACE_VARIABLES}
    return environment | {
        "RUNNER_TEMP": str(tmp_path / "runner"),
        "PYTHONPATH": str(package),
        "PATH": f"{tmp_path / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


@pytest.fixture
def learners_repository(tmp_path: Path) -> Path:
    """The repository that GitHub Classroom makes for a learner from the bundle."""
    write_bundle(tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        bundle.extractall(tmp_path)
    return tmp_path / TOP


def answer(repository: Path, name: str, text: str | None = None) -> None:
    exercise = BY_NAME[name]
    text = text or (REPOSITORY / "solutions" / exercise.path).read_text()
    (repository / "notebooks" / exercise.path).write_text(text)


def test_the_learners_workflow_holds_no_answer_and_no_hidden_test():
    """`make lint` compares both workflows with GitHub's schema."""
    workflow = RECIPES / "classroom/check.yml"
    assert not leaks({Path(workflow.name): workflow.read_bytes()}, REPOSITORY)
    assert "hidden" not in re.sub(r"^#.*", "", workflow.read_text(), flags=re.MULTILINE)


@pytest.mark.slow
def test_the_learners_workflow_passes_while_nothing_is_wrong_and_fails_with_the_checks_message(
    learners_repository, tmp_path
):
    environment = runner(tmp_path, learners_repository / "utils")
    answer(learners_repository, "compute_advantages")
    check = RECIPES / "classroom/check.yml"
    assert "compute_advantages" in run_steps(check, learners_repository, {}, environment)
    answer(learners_repository, "normalize_reward", "def normalize_reward(reward, eps=1e-5):\n    return reward\n")
    with pytest.raises(AssertionError, match="normalize_reward"):
        run_steps(check, learners_repository, {}, environment)


# Stands for GitHub's program: repositories are folders.
GH = """#!/bin/sh
case "$1 $2" in
"repo list") ls {repositories} ;;
"repo clone") git clone --quiet --depth 1 "file://{repositories}/${{3#*/}}" "$4" ;;
esac
"""


@pytest.mark.slow
def test_the_instructors_workflow_clones_the_learners_repositories_and_grades_them(learners_repository, tmp_path):
    repositories = tmp_path / "repositories"
    for learner in ("homework-ada", "homework-ben", "other-eve"):
        shutil.copytree(learners_repository, repositories / learner)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", repositories / learner]
        if learner == "homework-ada":
            answer(repositories / learner, "compute_advantages")
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "work"]):
            subprocess.run([*git, *command], check=True, capture_output=True)
    clone = tmp_path / "clone"
    for folder in ("utils/rlhf_course", "solutions", "tests/hidden"):
        shutil.copytree(REPOSITORY / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    environment = runner(tmp_path, clone / "utils")
    (tmp_path / "programs/gh").write_text(GH.format(repositories=repositories))
    (tmp_path / "programs/gh").chmod(0o755)
    (clone / "course.toml").write_text("left_out = ['get_optimizer']\n[points]\ncompute_advantages = 20\n")
    create_secret(tmp_path / "secret")
    inputs = {
        "inputs.organization": "school",
        "inputs.assignment": "homework",
        "secrets.CLASSROOM_TOKEN": "token",
        "secrets.COURSE_SECRET": (tmp_path / "secret").read_text().strip(),
    }
    run_steps(RECIPES / "classroom/grade.yml", clone, inputs, environment)
    results = json.loads((clone / "results.json").read_text())["submissions"]
    assert {result["name"]: result["score"] for result in results} == {"ada": 20, "ben": 0}
    assert all("get_optimizer" not in result["exercises"] for result in results)
    assert [result["warnings"] for result in results] == [[], []]
    assert (clone / "report/index.html").is_file()
    with (clone / "marks.csv").open() as table:
        assert len(list(csv.DictReader(table))) == 2


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder through which every user may pass; pytest closes its own ones."""
    folder = Path(tempfile.mkdtemp(prefix="recipe-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the container's Dockerfile, each with its arguments."""
    text = (RECIPES / "container/Dockerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_containers_instructions_are_those_that_its_test_runs_and_its_context_holds_what_they_copy():
    assert {instruction for instruction, _ in dockerfile()} <= {
        *("FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "ENTRYPOINT", "CMD")
    }
    included = (RECIPES / "container/Dockerfile.dockerignore").read_text().splitlines()
    for instruction, arguments in dockerfile():
        for source in arguments.split()[:-1] if instruction == "COPY" else []:
            assert (REPOSITORY / source).exists() and f"!{source}" in included


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the container's user is root, who gives learners' code users of its own")
def test_the_containers_steps_make_an_environment_that_grades_at_the_level_uid(open_folder):
    """No builder of containers is needed: the steps run one by one, with a folder in the place of the image's root.

    The packages of the lock are not installed once more: they come from the environment of the tests, which the lock
    made.
    """
    root = open_folder
    places = {"/opt/venv": f"{root}/venv", "/course": f"{root}/course"}
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *WORKSPACE_VARIABLES)
    }
    environment["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:{environment['PATH']}"
    (root / "course").mkdir()
    entry: list[str] = []
    for instruction, arguments in dockerfile():
        arguments = re.sub("/opt/venv|/course(?!/)", lambda place: places[place[0]], arguments)
        if instruction == "RUN" and "requirements.lock" in arguments:
            (packages,) = (root / "venv/lib").glob("python3.*/site-packages")
            (packages / "lock.pth").write_text(sysconfig.get_path("purelib") + "\n")
        elif instruction == "RUN":
            subprocess.run(arguments, shell=True, cwd=root / "course", env=environment, check=True, timeout=600)
        elif instruction == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                _copy(REPOSITORY / source, root / "course" / (source if target == "./" else target))
        elif instruction == "ENV":
            for setting in shlex.split(arguments):
                name, _, value = setting.partition("=")
                environment[name] = value.replace("$PATH", environment["PATH"])
        elif instruction == "ENTRYPOINT":
            entry = json.loads(arguments)
    submission = root / "submissions/ada" / DEFAULT_PART.name
    shutil.copytree(REPOSITORY / "solutions" / DEFAULT_PART.name, submission)
    look = f"def get_optimizer(model, base_lr, head_lr):\n    open('{root}/course/solutions/lean.py')\n"
    (submission / "get_optimizer.py").write_text(look)
    (program,) = entry
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "bash", "-euc", OPEN_PYTHON, sys.base_prefix),
            *(root / "venv/bin" / program, "grade", root / "submissions", "--each", "--isolation", "uid"),
            *("--json", root / "results.json", "--no-cache"),
        ],
        cwd=root / "course",
        env={**environment, "XDG_DATA_HOME": str(root / "data"), "XDG_CACHE_HOME": str(root / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (result,) = json.loads((root / "results.json").read_text())["submissions"]
    all_points = DEFAULT_PART.points
    assert result["score"] == all_points - BY_NAME["get_optimizer"].points
    assert "PermissionError" in json.dumps(result["exercises"]["get_optimizer"])
    assert (root / "data/rlhf-course/secret").is_file(), "the page keeps this folder in a volume"


# In the image every user can read Python; where this one lies in root's home, that is opened for what is run here.
OPEN_PYTHON = """
case $0 in /root/*)
    mount --bind "$0" /mnt
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$0"
    mount --bind /mnt "$0";;
esac
exec "$@"
"""


def _copy(source: Path, target: Path) -> Path:
    """Copy a file or folder, and return the target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
    return target


# Accounts that most systems have, and that own nothing that this test touches.
INSTRUCTOR, ADA, EVE = "daemon", "games", "nobody"


def _has_accounts() -> bool:
    import pwd

    try:
        return all(pwd.getpwnam(name) for name in (INSTRUCTOR, ADA, EVE))
    except KeyError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not _has_accounts(), reason="it acts for three accounts of this machine")
def test_the_exchange_works_between_accounts_and_shows_no_learner_the_work_of_another(open_folder):
    """What a JupyterHub whose users have accounts of their own rests on; the server itself is not started."""
    home = open_folder
    exchange = home / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    package = _copy(REPOSITORY / "utils", home / "repository/utils")
    for folder in ("solutions", "tests/hidden", "requirements.lock"):
        _copy(REPOSITORY / folder, home / "repository" / folder)

    def run(account: str, command: str) -> tuple[int, str]:
        own = home / account
        if not own.exists():
            own.mkdir()
            own.chmod(0o700)
            shutil.chown(own, account)
        environment = {name: value for name, value in os.environ.items() if name not in WORKSPACE_VARIABLES}
        environment |= {"HOME": str(own), "PYTHONPATH": str(package), "USER": account, "LOGNAME": account}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "XDG_CACHE_HOME"):
            environment.pop(name, None)
        as_account = ["setpriv", f"--reuid={account}", "--clear-groups", "bash", "-ec", command]
        opened = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", OPEN_PYTHON, sys.base_prefix]
        done = subprocess.run(
            [*opened, *as_account], cwd=own, env=environment, capture_output=True, text=True, timeout=600
        )
        return done.returncode, done.stdout + done.stderr

    def must(account: str, command: str) -> str:
        code, printed = run(account, command)
        assert code == 0, f"{account}: {command}\n{printed[-3000:]}"
        return printed

    must(
        INSTRUCTOR,
        f"""rlhf-course new-course course --exchange {exchange}
        cd course
        nbgrader generate_assignment part1_rlhf
        nbgrader release_assignment part1_rlhf
        mkdir ../public
        cp for_learners/nbgrader_config.py ../public
        chmod 711 ..""",
    )
    for learner in (ADA, EVE):
        must(learner, f"cp {home}/{INSTRUCTOR}/public/nbgrader_config.py . && nbgrader fetch_assignment part1_rlhf")
        must(learner, f"echo '# by {learner}' >> part1_rlhf/part1_rlhf/get_optimizer.py")
        must(learner, "nbgrader submit part1_rlhf")
    inbound = exchange / "rlhf/inbound"
    (work,) = inbound.glob(f"{ADA}+*")
    assert run(EVE, f"ls {inbound}")[0] != 0, "nobody but the instructor lists what was handed in"
    assert run(EVE, f"cat {home}/{INSTRUCTOR}/course/.rlhf_course/secret")[0] != 0
    assert run(EVE, f"cat {home}/{INSTRUCTOR}/course/source/part1_rlhf/08_training.ipynb")[0] != 0
    assert run(EVE, f"rm -r {work}")[0] != 0, "nobody deletes the work of another"
    must(INSTRUCTOR, "cd course && nbgrader collect part1_rlhf")
    for learner in (ADA, EVE):
        collected = home / INSTRUCTOR / "course/submitted" / learner / "part1_rlhf/part1_rlhf/get_optimizer.py"
        assert f"# by {learner}" in collected.read_text()
