"""The repository: pinned dependencies, commands that its documents name, and files that it must not hold."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rlhf_course.errors import CourseError
from rlhf_course.files import load_module

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PIN = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?==(\S+)$")


def locked_versions() -> dict[str, str]:
    """Return the versions in requirements.lock by package."""
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line and not line.lstrip().startswith("#")
    ]
    pins = [PIN.match(line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    return {pin[1].lower(): pin[3] for pin in pins}


def direct_requirements() -> set[str]:
    """Return the names of the packages that pyproject.toml requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "smollm2" for line in lines]
    wanted = [*project["dependencies"], *extras]
    return {re.split(r"[<>=\[ ]", line)[0].lower() for line in wanted}


def test_the_lock_pins_every_package_that_the_project_asks_for():
    pins = locked_versions()
    assert direct_requirements() <= set(pins)
    assert pins["torch"] == "2.13.0"
    assert pins["transformer-lens"].startswith("4.")
    assert {"einops", "eindex-callum", "jaxtyping", "jupyterlab", "nbgrader", "ipywidgets", "pytest"} <= set(pins)


def test_every_locked_package_installs_on_each_python_that_setup_takes():
    """`utils/setup.sh` takes any Python 3.11 or 3.12; a package may need a later patch release, which not all have."""
    unknown, refused = [], []
    for name, version in locked_versions().items():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            unknown.append(name)
            continue
        admitted = SpecifierSet(package.metadata.get("Requires-Python") or "")
        if package.version.partition("+")[0] == version and not {"3.11.0", "3.12.0"} <= set(
            admitted.filter(["3.11.0", "3.12.0"])
        ):
            refused.append(f"{name}=={version}: {admitted}")
    assert not refused
    assert len(unknown) < len(locked_versions()) / 10, unknown


def test_eindex_says_nothing_of_torch_in_the_code_of_a_learner():
    code = (
        "import rlhf_course, torch; from eindex import eindex; "
        "print(eindex(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long), 'b s [b s]').shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("torch.Size([2, 3])\n", "")


def test_every_dependency_is_listed_once_and_has_a_lower_bound_that_the_lock_meets():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    requirements = [Requirement(line) for line in lines]
    names = [requirement.name for requirement in requirements]
    assert len(names) == len(set(names))
    assert not [str(requirement) for requirement in requirements if not re.search(r">=|==", str(requirement.specifier))]
    pins = locked_versions()
    unmet = [str(item) for item in requirements if item.name in pins and not item.specifier.contains(pins[item.name])]
    assert not unmet


@pytest.mark.parametrize("extra", ["grading-at-scale", "nbgrader", "wandb", "build"])
def test_a_message_about_a_missing_extra_names_one_that_exists(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extra in project["optional-dependencies"]
    naming = [
        path for path in (ROOT / "utils").rglob("*.py") if re.search(rf'missing_extra\(.*"{extra}"', path.read_text())
    ]
    assert naming


def test_grading_on_a_cluster_without_dask_says_what_to_install(monkeypatch):
    from rlhf_course.grading.batch.cluster import Cluster

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CourseError, match=re.escape("pip install 'rlhf-course[grading-at-scale]'")):
        Cluster(lambda: None, "tcp://127.0.0.1:1")


def test_recording_in_wandb_without_it_says_what_to_install(monkeypatch):
    from rlhf_course import RLHFArgs
    from rlhf_course.rl.wandb_log import check_wandb

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(CourseError, match=re.escape("pip install 'rlhf-course[wandb]'")):
        check_wandb(RLHFArgs(use_wandb=True))


def test_what_is_installed_is_what_is_locked():
    from importlib.metadata import version

    pins = locked_versions()
    differing = {name: version(name) for name in direct_requirements() if version(name).split("+")[0] != pins[name]}
    assert not differing, f"run `make setup`: {differing}"


def test_conda_gets_the_lock_and_a_python_that_the_project_takes():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = {line.split("=")[0]: line.split("=")[-1] for line in environment["dependencies"] if isinstance(line, str)}
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip == ["-r requirements.lock", "-e ."], "everything but Python and pip comes from the lock"
    assert set(conda) == {"python", "pip"} and conda["python"] == "3.11"


def test_the_extra_is_pinned_alike_in_the_makefile_and_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for pin in project["optional-dependencies"]["smollm2"]:
        assert f'"{pin}"' in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("target", ["setup", "demo", "lint", "test", "test-all", "learn", "site", "clean"])
def test_make_knows_its_targets(target):
    result = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("folder", [ROOT, ROOT / "utils/rlhf_course/releasing/for_learners"])
def test_make_learn_starts_jupyterlab_with_the_settings_for_learners(folder):
    rule = re.search(r"JUPYTER_CONFIG_PATH=\"\$\(CURDIR\)/(\S+)\" \S+/jupyter lab", (folder / "Makefile").read_text())
    assert rule is not None
    settings = json.loads((ROOT / rule[1] / "labconfig/page_config.json").read_text())
    assert {"@jupyter/nbgrader:formgrader", "@jupyter/nbgrader:validate-assignment"} <= set(
        settings["disabledExtensions"]
    )


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/exercise.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_the_files_for_github_follow_its_schemas(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, file]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_workflow_runs_the_readmes_commands_on_linux_with_both_pythons_and_on_macos():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    for name in ("linux", "macos"):
        commands = [step.get("run", "") for step in jobs[name]["steps"]]
        assert {"make demo PYTHON=python", "make test PYTHON=python"} <= set(commands)
    assert jobs["linux"]["strategy"]["matrix"]["python-version"] == ["3.11", "3.12"]
    assert jobs["macos"]["runs-on"] == "macos-latest"
    assert "make lint PYTHON=python" in [step.get("run") for step in jobs["lint"]["steps"]]


def test_ci_runs_setup_extras_lint_and_all_tests_in_this_order():
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make ")]
    assert lines == ["make setup", "make smollm2", "make lint", "make test test-all"]


def test_one_call_of_make_runs_every_test_once():
    result = subprocess.run(["make", "--dry-run", "test", "test-all"], cwd=ROOT, capture_output=True, text=True)
    runs = [line.partition(" -m ")[2] for line in result.stdout.splitlines() if "/pytest" in line]
    assert runs == ['"not slow"', "slow"]


def test_every_name_that_the_code_uses_is_defined():
    """Ruff's own check is off, since it takes an axis of jaxtyping, a word between quotes, for a name."""
    command = [sys.executable, "-m", "ruff", "check", "--select=F821", "--output-format=json", "--exit-zero", "."]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    undefined = set()
    for finding in found:
        line = Path(finding["filename"]).read_text().splitlines()[finding["location"]["row"] - 1]
        if line[finding["location"]["column"] - 2] not in "\"'":
            undefined.add(finding["message"])
    # The first is Jupyter's, and a test gives the others to its module.
    defined_elsewhere = {f"Undefined name `{name}`" for name in ("get_config", "my_bonus", "my_penalty")}
    assert undefined == defined_elsewhere


def test_the_two_commands_stand_on_the_readmes_first_screen():
    first_screen = "\n".join(README.splitlines()[:40])
    assert "make demo" in first_screen and "make test" in first_screen


def test_the_readme_links_to_files_that_are_there():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_picture_of_the_readme_has_alternative_text():
    alternative_texts = re.findall(r"!\[([^]]*)\]", README)
    assert alternative_texts and all(len(text) > 20 for text in alternative_texts)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a downloaded archive tracks no files")
def test_no_tracked_file_is_too_large_for_a_clone():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert files
    assert not [str(file) for file in files if file.is_file() and file.stat().st_size > 12e6]


def test_the_readmes_tables_are_what_was_measured():
    curves = load_module(ROOT / "benchmarks" / "curves.py", "curves")
    assert curves.filled_readme() == README, "run `make bench`"


def test_the_figures_of_speed_on_every_page_are_what_was_measured():
    tables = load_module(ROOT / "benchmarks" / "tables.py", "tables")
    for page, text in tables.filled_pages().items():
        assert text == page.read_text(), "run `.venv/bin/python benchmarks/tables.py`"


def test_every_measured_collapse_rises_from_below_2_to_at_least_12_periods_and_most_to_15():
    import csv

    curves = sorted((ROOT / "benchmarks" / "results").rglob("collapse_seed*.csv"))
    assert len(curves) == 10, "five seeds with two roundings"
    best = []
    for curve in curves:
        with open(curve, newline="") as file:
            rewards = [float(row["mean_reward"]) for row in csv.DictReader(file)]
        assert len(rewards) == 30
        assert rewards[0] < 2 and max(rewards) >= 12
        best.append(max(rewards))
    assert sum(reward >= 15 for reward in best) > len(best) / 2


# Setting up


def stub(path: Path, text: str) -> None:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def set_up(folder: Path, *arguments: str, tools: str = "awk mkdir cat sh chmod") -> subprocess.CompletedProcess[str]:
    """Run setup.sh with the programs in `folder/bin` and a few of the system."""
    for tool in tools.split():
        (folder / "bin").mkdir(exist_ok=True)
        if not (folder / "bin" / tool).exists():
            (folder / "bin" / tool).symlink_to(shutil.which(tool))
    return subprocess.run(
        ["/bin/sh", ROOT / "utils" / "setup.sh", ".venv", *arguments],
        cwd=folder,
        env={"PATH": str(folder / "bin"), "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )


DISK = "echo header; echo fs 9000 1000 {} 10% /\n"
# Stands for a Python whose venv is a pip that notes its locale and leaves a .pth as setuptools does.
PYTHON = """
case "$*" in
  --version) echo Python 3.12.1 ;;
  *"-m venv"*)
    mkdir -p .venv/bin .venv/lib/python3.12/site-packages
    cat >.venv/bin/pip <<'END'
#!/bin/sh
echo "$LC_ALL" >locale.txt
echo "$PWD/utils" >.venv/lib/python3.12/site-packages/__editable__.rlhf_course-0.1.0.pth
END
    chmod +x .venv/bin/pip ;;
  *) exit 0 ;;
esac
"""


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3", "python"])
def test_setting_up_takes_the_python_that_it_finds_and_says_what_it_does(tmp_path, name):
    stub(tmp_path / "bin" / "python3.11", "exit 1\n")  # a pyenv shim without its Python
    stub(tmp_path / "bin" / name, PYTHON)
    stub(tmp_path / "bin" / "df", DISK.format(9000))
    stub(tmp_path / "bin" / "locale", "echo ANSI_X3.4-1968\n")
    done = set_up(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"installing into .venv with Python 3.12.1: .* GB to download.*, .* GB on disk, .* minutes", done.stdout
    )
    assert (tmp_path / "locale.txt").read_text() == "C.UTF-8\n"
    (link,) = tmp_path.glob(".venv/lib/*/site-packages/*.pth")
    assert (link.parent / link.read_text().strip()).resolve() == (tmp_path / "utils").resolve()


@pytest.mark.parametrize("text", ["Makefile", "utils/rlhf_course/releasing/for_learners/Makefile"])
def test_a_python_in_a_folder_with_a_blank_in_its_name_is_passed_on_whole(text):
    for given, passed in (("/a folder/python", '"/a folder/python"'), ("", '""')):
        shown = subprocess.run(
            ["make", "-n", "-B", "-f", ROOT / text, "setup", f"PYTHON={given}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert f"sh utils/setup.sh .venv {passed}\n" in shown.stdout


def test_setting_up_takes_a_named_python_whose_path_has_a_blank(tmp_path):
    stub(tmp_path / "a folder" / "python3", PYTHON)
    stub(tmp_path / "bin" / "df", DISK.format(9000))
    stub(tmp_path / "bin" / "locale", "echo UTF-8\n")
    done = set_up(tmp_path, str(tmp_path / "a folder" / "python3"))
    assert done.returncode == 0, done.stderr
    missing = set_up(tmp_path, str(tmp_path / "no such" / "python3"))
    assert missing.returncode == 1 and "no Python 3.11 or 3.12 among /" in missing.stderr


@pytest.mark.parametrize(
    ("python", "disk", "message"),
    [
        ("exit 1", 9000, "no Python 3.11 or 3.12 among python3.11, python3.12, python3, python"),
        ('case "$*" in *ensurepip*) exit 1 ;; esac', 9000, "python3 has no venv module: install it"),
        ("exit 0", 100, "too little disk: 100 MB are free here"),
    ],
)
def test_setting_up_names_in_one_line_what_is_missing(tmp_path, python, disk, message):
    stub(tmp_path / "bin" / "python3", python + "\n")
    stub(tmp_path / "bin" / "df", DISK.format(disk))
    done = set_up(tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"setup: {message}") and done.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()
