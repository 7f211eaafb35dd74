"""Submissions are not judged where Python's environment encloses the hidden tests, the answers or the secret."""

import sys
from pathlib import Path

import pytest
import typer

from rlhf_course.grading import commands
from rlhf_course.grading.sandbox import isolation, readable_paths
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, require_hidden

# The folder of the environment, and that of the repository, below one folder.
REFUSED = {
    "python -m venv . in the clone": ("course", "course"),
    "an environment around the clone": ("env", "env/course"),
    "a clone by pip, in src": ("env", "env/src/course"),
    "the clone in the environment's packages": ("env", "env/lib/python3.11/site-packages/course"),
    "a system's Python and a clone in its local folder": ("usr", "usr/local/src/course"),
    "an environment in the folder of the hidden tests": ("course/tests", "course"),
    "an environment in the folder of the answers": ("course/solutions", "course"),
}
ACCEPTED = {
    "an environment in the clone": ("course/.venv", "course"),
    "a neighbour": ("env", "course"),
    "a name that begins alike": ("course", "course-2026"),
    "an environment deep in the folder of the answers": ("course/solutions/.venv", "course"),
}


def lay_out(monkeypatch: pytest.MonkeyPatch, root: Path, prefix: str, repository: str, kind: str = "prefix") -> None:
    """Make a repository, and let Python and the course believe that they are there."""
    for name in ("tests/hidden", "solutions"):
        (root / repository / name).mkdir(parents=True)
    (root / prefix).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, kind, str(root / prefix))
    monkeypatch.setattr(readable_paths, "HIDDEN_TESTS", root / repository / "tests/hidden")
    monkeypatch.setattr(readable_paths, "SOLUTIONS", root / repository / "solutions")


@pytest.mark.parametrize("level", ["namespaces", "uid"])
@pytest.mark.parametrize("layout", REFUSED)
@pytest.mark.parametrize("kind", ["prefix", "base_prefix"])
def test_an_environment_that_encloses_hidden_files_is_refused_with_what_to_do(
    monkeypatch, tmp_path, level, layout, kind
):
    lay_out(monkeypatch, tmp_path, *REFUSED[layout], kind)
    with pytest.raises(IsolationUnavailable, match=r"is inside\): make an environment that encloses neither"):
        require_hidden(level)


@pytest.mark.parametrize("level", ["namespaces", "uid"])
@pytest.mark.parametrize("layout", ACCEPTED)
def test_an_environment_beside_hidden_files_is_accepted(monkeypatch, tmp_path, level, layout):
    lay_out(monkeypatch, tmp_path, *ACCEPTED[layout])
    require_hidden(level, [tmp_path / "secret"])


@pytest.mark.parametrize("level", ["namespaces", "uid"])
@pytest.mark.parametrize("linked", ["prefix", "repository"])
def test_links_are_followed(monkeypatch, tmp_path, level, linked):
    lay_out(monkeypatch, tmp_path / "real", "env", "env/course")
    (tmp_path / "link").symlink_to(tmp_path / "real/env")
    if linked == "prefix":
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "link"))
    else:
        monkeypatch.setattr(readable_paths, "HIDDEN_TESTS", tmp_path / "link/course/tests/hidden")
    with pytest.raises(IsolationUnavailable):
        require_hidden(level)


@pytest.mark.parametrize("level", ["namespaces", "uid"])
@pytest.mark.parametrize("secret", ["env/secret", "env/hw/.rlhf_course/secret", "env/lib/python3.11/secret"])
def test_a_secret_in_the_environment_is_refused(monkeypatch, tmp_path, level, secret):
    lay_out(monkeypatch, tmp_path, "env", "course")
    path = tmp_path / secret
    require_hidden(level, [path])  # There is none yet.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(IsolationUnavailable, match="secret is inside"):
        require_hidden(level, [path])


def test_the_level_unsafe_hides_nothing_and_refuses_nothing(monkeypatch, tmp_path):
    lay_out(monkeypatch, tmp_path, "course", "course")
    require_hidden("unsafe")


@pytest.mark.parametrize("level", ["namespaces", "uid"])
def test_no_sandbox_is_probed_where_hidden_files_are_exposed(monkeypatch, tmp_path, level):
    lay_out(monkeypatch, tmp_path, "course", "course")
    monkeypatch.setattr(isolation.subprocess, "run", lambda *_, **__: pytest.fail("a sandbox was started"))
    with pytest.raises(IsolationUnavailable, match="is inside"):
        isolation.require_isolation(level)


def test_grading_checks_the_file_that_holds_the_secret(monkeypatch, tmp_path, capsys):
    lay_out(monkeypatch, tmp_path, "env", "course")
    secret = tmp_path / "env/secret"
    secret.write_text("0" * 64)
    secret.chmod(0o600)
    with pytest.raises(typer.Exit) as ended:
        commands.grade([tmp_path], secret_file=secret)
    assert ended.value.exit_code == 3 and "secret is inside" in capsys.readouterr().err
