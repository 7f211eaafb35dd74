"""The learner's bundle: what is in it, what is not, and that it works where nothing else of the course is."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from typer.testing import CliRunner

from rlhf_course.building.build import built_files
from rlhf_course.building.course_changes import change_notebook
from rlhf_course.cli import app
from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS
from rlhf_course.course_file import CourseFile
from rlhf_course.errors import CourseError
from rlhf_course.notebook.exercise_progress import checks_of
from rlhf_course.paths import REPOSITORY, SOLUTIONS
from rlhf_course.releasing import bundle
from rlhf_course.releasing.archive import write_zip
from rlhf_course.releasing.bundle import TOP, bundle_files, readme
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import given_text, is_given

NOTEBOOK_3 = """
import sys
from pathlib import Path
import nbformat
from nbclient import NotebookClient

answer = Path(sys.argv[1]).read_text()
notebook = nbformat.read("03_value_head.ipynb", as_version=4)
name = "HookedTransformerWithValueHead"
graded = [(index, cell) for index, cell in enumerate(notebook.cells) if "nbgrader" in cell.metadata]
indices = {cell.metadata.nbgrader.grade_id: index for index, cell in graded}
check = indices[f"check-{name}"]
if answer:
    notebook.cells[indices[f"exercise-{name}"]].source = f"%%exercise {name}\\n{answer}"
notebook.cells = notebook.cells[: check + 1]
NotebookClient(notebook, timeout=300).execute()
print(notebook.cells[check].outputs[0].get("text") or notebook.cells[check].outputs[0].data["text/plain"])
"""


@pytest.fixture(scope="module")
def files():
    return bundle_files()


def test_a_learner_gets_notebooks_stubs_checks_environment_and_a_readme(files):
    below = {path.relative_to(TOP).as_posix() for path in files}
    assert {"README.md", "LICENSE", "Makefile", "requirements.lock", "environment.yml", "pyproject.toml"} <= below
    assert {f"notebooks/{DEFAULT_PART.name}/{exercise.file}" for exercise in DEFAULT_PART.exercises} | {
        f"utils/rlhf_course/checks/{exercise.path}" for exercise in DEFAULT_PART.exercises
    } <= below
    assert {f"notebooks/{exercise.notebook}.ipynb" for exercise in DEFAULT_PART.exercises} <= below
    assert "utils/rlhf_course/models/embedded/model.safetensors" in below
    assert not [
        path for path in below if path.startswith(("solutions", "tests")) or "/grading/" in path or "/building/" in path
    ]


def test_a_self_study_bundle_holds_the_answers_beside_what_a_class_gets(files):
    more = {path: content for path, content in bundle_files(self_study=True).items() if files.get(path) != content}
    below = {path.relative_to(TOP).as_posix() for path in more}
    answers = {path.relative_to(REPOSITORY).as_posix() for path in (SOLUTIONS / DEFAULT_PART.name).glob("*.py")}
    assert len(answers) > len(DEFAULT_PART.exercises) and below == answers | {"README.md", "solutions/lean.py"}


def test_the_readme_of_a_class_names_no_answers_and_that_of_self_study_no_hand_in():
    text = (REPOSITORY / "utils/rlhf_course/releasing/for_learners/README.md").read_text()
    of_class, own = readme(text), readme(text, self_study=True)
    assert "solution(" not in of_class and "use_reference" not in of_class and "hand_in()" in of_class
    assert "solution(" in own and "use_reference" in own and "hand_in()" not in own
    assert "<!--" not in of_class + own


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_readme_of_a_part_speaks_of_no_other_part(part):
    text = (REPOSITORY / "utils/rlhf_course/releasing/for_learners/README.md").read_text()
    for self_study in (False, True):
        shown = readme(text, [part], self_study)
        others = [other for other in PARTS if other != part]
        named = [other.name for other in others] + [exercise.name for other in others for exercise in other.exercises]
        assert "<!--" not in shown and not [name for name in named if re.search(rf"\b{name}\b", shown)]
        (name, case) = re.search(r'inputs_of\("(\w+)", "(\w+)"\)', shown).groups()
        assert name in {exercise.name for exercise in part.exercises} and case in checks_of(BY_NAME[name]).CASES
        assert f'check("{name}")' in shown and "EXERCISE" not in shown
        runs = ("periods", "reward_model", "grpo")
        assert [f"--run {run}\n" in shown for run in runs] == [part is other for other in PARTS]


@pytest.mark.parametrize(
    "secret",
    [
        "solutions/part1_rlhf/calc_kl_penalty.py",
        "solutions/part1_rlhf/trainer.py",
        "tests/hidden/part1_rlhf/calc_kl_penalty.py",
        "tests/hidden/part1_rlhf/test_trainer.py",
        "tests/hidden/part1_rlhf/trainer.py",
    ],
)
def test_the_search_finds_an_answer_a_known_mistake_and_a_hidden_test_wherever_they_hide(secret):
    text = (REPOSITORY / secret).read_text()
    for path, content in (
        (Path("a.py"), text),
        (Path("b.ipynb"), nbformat_of(text)),
        (Path("c.md"), "```\n" + text.replace("\n", "\n    ")),
        (Path("d.html"), highlight(text, PythonLexer(), HtmlFormatter())),
        (Path("e.json"), json.dumps({"text": highlight(text, PythonLexer(), HtmlFormatter())})),
    ):
        assert leaks({path: content.encode()}, REPOSITORY), path


def nbformat_of(text: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": text.splitlines(keepends=True)}]})


def test_nothing_of_it_is_in_the_bundle(files):
    assert not leaks(files, REPOSITORY)


def test_of_an_exercise_left_out_learners_get_the_answer_in_its_file_and_no_cell(files):
    course = CourseFile(left_out=("compute_advantages",), points={"get_logprobs": 3})
    changed = {
        path.relative_to(TOP).as_posix(): content
        for path, content in bundle_files(parts=course.parts()).items()
        if files[path] != content
    }
    file = f"notebooks/{DEFAULT_PART.name}/compute_advantages.py"
    assert set(changed) == {file, "notebooks/05_advantages_and_memory.ipynb", "notebooks/06_objective.ipynb"}
    text = changed[file].decode()
    assert is_given(text) and "SOLUTION" not in text and "NotImplementedError" not in text
    compile(text, file, "exec")
    left, kept = (nbformat.reads(changed[name].decode(), as_version=4) for name in sorted(changed)[:2])
    sources = "\n".join(cell.source for cell in left.cells)
    assert "from part1_rlhf import compute_advantages  # given" in sources
    assert "%%exercise" not in sources and 'check("compute_advantages")' not in sources and "hint(" not in sources
    assert "## 5.2 Given: `compute_advantages`" in sources and "**Predict**" in sources
    checks = [cell.metadata.nbgrader for cell in kept.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert {check.grade_id: check.points for check in checks}["check-get_logprobs"] == 3
    assert not [cell for cell in left.cells if "nbgrader" in cell.metadata]


def test_only_the_file_of_an_exercise_left_out_may_hold_its_answer():
    left_out = [BY_NAME["compute_advantages"]]
    text = given_text((SOLUTIONS / DEFAULT_PART.name / "compute_advantages.py").read_text())
    own, other = Path(f"notebooks/{left_out[0].path}"), Path("notebooks/other.py")
    assert not leaks({own: text.encode()}, REPOSITORY, left_out)
    assert leaks({own: text.encode()}, REPOSITORY)
    assert leaks({other: text.encode()}, REPOSITORY, left_out)
    more = text + (SOLUTIONS / DEFAULT_PART.name / "get_logprobs.py").read_text()
    assert leaks({own: more.encode()}, REPOSITORY, left_out)


@pytest.mark.parametrize("exercise", DEFAULT_PART.exercises, ids=lambda exercise: exercise.name)
def test_each_exercise_can_be_left_out_of_its_notebook(exercise):
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{exercise.notebook}.ipynb", as_version=4)
    count = len(notebook.cells)
    assert change_notebook(notebook, {}, [exercise]) and len(notebook.cells) in (count - 1, count - 2)
    nbformat.validate(notebook)
    sources = "\n".join(cell.source for cell in notebook.cells)
    for text in (f'hint("{exercise.name}")', f'check("{exercise.name}")', f"**Exercise** `{exercise.name}`"):
        assert text not in sources
    assert f"%%exercise {exercise.name}" not in sources and f"**Given** `{exercise.name}`" in sources


def test_a_part_is_released_alone_with_another_ones_answers_filled_in(files):
    first, second = PARTS[:2]
    alone = {path.relative_to(TOP).as_posix(): content for path, content in bundle_files(parts=[second]).items()}
    filled = {
        path.relative_to(TOP).as_posix(): content
        for path, content in bundle_files(parts=[second], answered=[first]).items()
    }
    new = {path for path in filled if filled[path] != alone.get(path)}
    folders = (f"notebooks/{first.name}/", f"utils/rlhf_course/checks/{first.name}/")
    assert alone.keys() < filled.keys()
    assert [path for path in new if not path.startswith(folders)] == ["README.md"]
    answers = [f"notebooks/{exercise.path}" for exercise in first.exercises]
    assert all(is_given(filled[path].decode()) for path in answers)
    stubs = [f"notebooks/{exercise.path}" for exercise in second.exercises]
    assert all(filled[path] == alone[path] and not is_given(filled[path].decode()) for path in stubs)
    assert "part 1 are filled in" in filled["README.md"].decode() and "filled in" not in alone["README.md"].decode()


def test_the_leak_search_of_a_bundle_with_answers_still_finds_those_of_the_released_part(monkeypatch):
    first, second = PARTS[:2]
    answer = (SOLUTIONS / second.exercises[0].path).read_bytes()
    monkeypatch.setattr(bundle, "built_files", lambda root: {**built_files(root), Path("notebooks/notes.md"): answer})
    with pytest.raises(CourseError, match=r"notebooks/notes\.md holds a text of solutions/part2_preferences"):
        bundle_files(parts=[second], answered=[first])


@pytest.mark.slow
def test_the_filled_in_answers_are_what_code_of_the_released_part_imports(tmp_path):
    first, second = PARTS[:2]
    write_zip(tmp_path / "bundle.zip", bundle_files(parts=[second], answered=[first]))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path)
    code = (
        "import torch; from rlhf_course import use_code; use_code('.'); import part1_rlhf;"
        "from rlhf_course.notebook.exercise_progress import read_progress;"
        "print(part1_rlhf.compute_advantages(torch.zeros(1, 3), torch.ones(1), 2).tolist());"
        "print(part1_rlhf.RLHFTrainer.__module__, *(each.exercise for each in read_progress()))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / TOP / "utils")}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path / TOP / "notebooks", env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["[[1.0]]", "part1_rlhf.trainer", *(exercise.name for exercise in second.exercises)]


def test_the_pictures_of_the_recorded_runs_show_where_there_are_no_answers(tmp_path):
    write_zip(tmp_path / "bundle.zip", bundle_files(parts=[PARTS[1]]))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path)
    notebooks = tmp_path / TOP / "notebooks"
    shown = [cell for path in notebooks.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    names = re.findall(r'^preference_picture\("(\w+)"', "\n".join(cell.source for cell in shown), re.MULTILINE)
    code = f"from rlhf_course import preference_picture as show; [show(name) for name in {names}]"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / TOP / "utils")}
    run = subprocess.run([sys.executable, "-c", code], cwd=notebooks, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(names) == 6 and len(run.stdout.splitlines()) == 6
    for alt in run.stdout.splitlines():  # and the notebooks hold them before their cells run
        assert any(
            alt in output.get("data", {}).get("text/html", "").replace("&#x27;", "'")
            for cell in shown
            if cell.cell_type == "code"
            for output in cell.outputs
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--with-answers", "part1_rlhf"], "is both released and filled in"),
        (
            ["--with-answers", "part9"],
            "--with-answers takes part1_rlhf, part2_preferences, part3_policy_gradients, all, got part9",
        ),
    ],
)
def test_parts_that_cannot_be_filled_in_are_refused_by_name(tmp_path, options, message):
    result = CliRunner().invoke(app, ["release", "--bundle", str(tmp_path / "bundle.zip"), *options])
    assert isinstance(result.exception, CourseError) and message in str(result.exception)
    assert not (tmp_path / "bundle.zip").exists()


def test_a_model_answer_in_prose_is_found_too():
    text = (REPOSITORY / "solutions/notebooks/04_sampling_and_rewards.md").read_text()
    assert leaks({Path("notes.txt"): text.encode()}, REPOSITORY)


def test_the_same_files_give_the_same_zip(tmp_path, files):
    few = {path: content for path, content in files.items() if path.suffix == ".toml"}
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, few)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.slow
def test_it_installs_in_a_fresh_folder_and_a_right_answer_passes_its_check_there(tmp_path, files):
    write_zip(tmp_path / "bundle.zip", files)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path)
    desk, site = tmp_path / TOP, tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        site,
        desk,
    ]
    subprocess.run(install, check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RLHF_COURSE")} | {
        "PYTHONPATH": str(site)
    }

    def run(*command) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=desk / "notebooks",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import rlhf_course; print(rlhf_course.__file__)").startswith(str(site))
    commands = set(
        re.findall(
            r"^│ ([a-z][\w-]*)  ", run("-c", "from rlhf_course.cli import main; main()", "--help"), flags=re.MULTILINE
        )
    )
    assert commands == {"exercises", "doctor", "train"}
    (tmp_path / "nothing.py").write_text("")
    assert "not attempted" in run("-c", NOTEBOOK_3, tmp_path / "nothing.py")
    assert "passed" in run("-c", NOTEBOOK_3, REPOSITORY / "solutions" / DEFAULT_PART.name / "value_head.py")
