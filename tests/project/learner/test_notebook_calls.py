"""The calls that are at hand in a notebook, for a learner who is stuck."""

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import fields

import pytest
import torch
from learners import answer_text, learner_environment, stub_text

import rlhf_course
from rlhf_course import check, hand_in, hint, inputs_of, recorded_run, solution, train_run, use_code
from rlhf_course.course import DEFAULT_PART, EXERCISES, PARTS
from rlhf_course.errors import CourseError
from rlhf_course.notebook import gate, guide
from rlhf_course.notebook.magic import CALLS
from rlhf_course.notebook.progress_file import read_state
from rlhf_course.notebook.recorded import recorded_runs
from rlhf_course.paths import RECORDED_RUNS, SOLUTIONS

NAME = "compute_advantages"


def write(workspace, name, text):
    (workspace / DEFAULT_PART.name / f"{name}.py").write_text(text)


def test_after_the_import_every_call_is_defined_and_reset_is_the_courses(workspace):
    cells = ["import rlhf_course.notebook", *CALLS, f"reset({NAME!r})", f"hint({NAME!r})", "load = 5", "load"]
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for cell in {cells!r}:\n"
        "    shell.run_cell(cell).raise_error()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=learner_environment(), cwd=workspace, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}.py holds the stub again" in done.stdout and "hint 1 of 3" in done.stdout


def test_every_call_is_imported_from_the_course_too():
    assert all(callable(getattr(rlhf_course, name)) for name in CALLS)


def test_the_answer_is_shown_once_all_hints_are_open_and_that_is_recorded(workspace, capsys):
    solution(NAME)
    assert "hint('compute_advantages') opens the next of 3" in capsys.readouterr().out
    for _ in range(3):
        hint(NAME)
    assert "The answer: solution('compute_advantages')" in capsys.readouterr().out
    assert "solutions" not in read_state(workspace / DEFAULT_PART.name)
    solution(NAME)
    shown = capsys.readouterr().out
    assert "torch.cat" in shown and "SOLUTION" not in shown
    assert read_state(workspace / DEFAULT_PART.name)["solutions"] == {NAME: True}
    guide.print_progress()
    assert "3 of 3, answer" in capsys.readouterr().out


def test_the_answer_is_shown_to_whoever_has_passed(workspace, capsys):
    write(workspace, NAME, answer_text(NAME))
    check(NAME)
    assert f"solution('{NAME}')" in capsys.readouterr().out
    solution(NAME)
    assert "the course's answer" in capsys.readouterr().out


def test_without_the_answers_here_nothing_promises_them(workspace, capsys, monkeypatch, tmp_path):
    for module in (guide, gate, sys.modules["rlhf_course.notebook.checking"]):
        monkeypatch.setattr(module, "SOLUTIONS", tmp_path / "solutions")
    for _ in range(4):
        hint(NAME)
    train_run("collapse", profile="laptop")
    train_run("collapse", profile="laptop", use_reference=[NAME])
    write(workspace, NAME, answer_text(NAME))
    check(NAME)
    shown = capsys.readouterr().out
    assert "solution(" not in shown and "use_reference=[" not in shown
    assert "recorded_run('collapse')" in shown and "leave use_reference out" in shown
    solution(NAME)
    assert "the course's answers are not in this folder" in capsys.readouterr().out


def test_a_closed_gate_names_the_recorded_run_and_the_answers_that_fill_the_gap(workspace, capsys):
    train_run("collapse", profile="laptop")
    shown = capsys.readouterr().out
    assert "recorded_run('collapse')" in shown
    assert "use_reference=['HookedTransformerWithValueHead', 'reward_fn_char_count', 'normalize_reward'" in shown


def test_the_answers_that_fill_the_gap_are_the_given_ones_and_the_others(workspace, capsys):
    train_run("collapse", profile="laptop", use_reference=[NAME])
    named = re.search(r"call it with use_reference=(\[.*?\])", " ".join(capsys.readouterr().out.split()))[1]
    assert NAME in ast.literal_eval(named) and "reward_fn_char_count" in ast.literal_eval(named)


def test_a_recorded_run_says_how_many_texts_of_a_phase_it_keeps(capsys):
    recorded_run("periods")
    assert "keeps 32 of the 128 texts of each phase" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", recorded_runs())
def test_a_recorded_run_can_be_shown_as_a_run_of_ones_own(name, capsys):
    run = recorded_run(name)
    rlhf_course.gallery(run)
    assert run.rows[-1]["phase"] == len(run.rows) - 1
    assert (run.path / "samples.jsonl").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", recorded_runs())
def test_a_recorded_run_has_the_settings_that_the_notebook_gives_its_own_run(name):
    settings = rlhf_course.RLHFArgs.for_profile("laptop", name.removesuffix("-neg"))
    stored = json.loads((RECORDED_RUNS / name / "config.json").read_text())["args"]
    assert {key: value for key, value in stored.items() if key != "reward_fn"} == {
        field.name: getattr(settings, field.name) for field in fields(settings) if field.name != "reward_fn"
    }


def test_of_a_run_that_is_not_recorded_the_names_of_those_that_are_come(capsys):
    assert recorded_run("mine") is None
    assert "collapse, overoptimise, periods" in capsys.readouterr().out


def test_a_message_names_a_call_on_the_input_that_was_wrong(workspace, capsys):
    text = answer_text(NAME).replace("def compute_advantages", "def _right")
    body = "return _right(*arguments) * (2 if len(arguments[0]) == 3 else 1)"
    write(workspace, NAME, f"{text}\n\ndef compute_advantages(*arguments):\n    {body}\n")
    again = next(line for line in check(NAME).lines if line.startswith("again: "))
    names = {"inputs_of": inputs_of, NAME: lambda values, rewards, prefix_len: (values.shape, rewards.shape)}
    assert eval(again.removeprefix("again:  "), names) == (torch.Size([3, 9]), torch.Size([3]))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_inputs_are_arguments_of_the_answer_or_are_refused_in_a_sentence(exercise):
    if exercise.name in (
        "HookedTransformerWithValueHead",
        "get_optimizer",
        "RLHFTrainer",
        "RewardModel",
        "GRPOTrainer",
    ):
        with pytest.raises(CourseError, match="so it has no input to pass on"):
            inputs_of(exercise.name)
        return
    use_code(SOLUTIONS)
    answer = getattr(importlib.import_module(exercise.part), exercise.name)
    assert list(inspect.signature(answer).bind(*inputs_of(exercise.name)).arguments)


def test_inputs_are_new_in_each_call():
    inputs_of(NAME)[0].zero_()
    assert inputs_of(NAME)[0].any()


def test_after_a_pass_check_and_progress_name_the_same_next_step_and_no_untouched_exercise_passes(workspace, capsys):
    for name in ("reward_fn_sentiment_imdb", "normalize_reward"):
        write(workspace, name, answer_text(name))
        check(name)
        shown = capsys.readouterr().out
        guide.print_progress()
        assert capsys.readouterr().out.splitlines()[-1] in shown
        assert "pass." not in shown and "All" not in shown


def test_the_zip_to_hand_in_holds_python_files_and_notebooks_and_nothing_else(workspace, capsys):
    write(workspace, NAME, answer_text(NAME))
    for path in ("06_objective.ipynb", "data.csv", "part1_rlhf/table.csv", "part1_rlhf/.history/old.py", "runs/a.py"):
        (workspace / path).parent.mkdir(exist_ok=True)
        (workspace / path).write_text(stub_text(NAME))
    hand_in()
    names = set(zipfile.ZipFile(workspace / "my_answers.zip").namelist())
    assert {"notebooks/06_objective.ipynb", f"notebooks/part1_rlhf/{NAME}.py"} <= names
    folders = tuple(f"notebooks/{part.name}/" for part in PARTS)
    assert all(name.endswith(".ipynb") or name.startswith(folders) for name in names)
    assert not [name for name in names if ".history" in name or name.endswith(".csv")]
    shown = capsys.readouterr().out
    assert "my_answers.zip: " in shown and "Not passed, or changed since the check: HookedTransformer" in shown


@pytest.mark.parametrize(
    "file",
    [
        "part1_rlhf/get_logprobs.py",
        "06_objective.ipynb",
        "",
        ".",
        ".zip",
        "part1_rlhf",
        "folder.zip",
        "no/a.zip",
        "a\0.zip",
        None,
        3,
    ],
)
def test_what_is_no_name_of_a_zip_is_refused_in_a_sentence_and_no_file_changes(workspace, capsys, file):
    (workspace / "folder.zip").mkdir()
    (workspace / "06_objective.ipynb").write_text("{}")
    before = {path: path.is_file() and path.read_bytes() for path in workspace.rglob("*")}
    hand_in(file)
    assert {path: path.is_file() and path.read_bytes() for path in workspace.rglob("*")} == before
    shown = capsys.readouterr().out
    assert shown.startswith("hand_in: ") and len(shown.splitlines()) == 1


def test_what_cannot_be_packed_is_left_out_with_a_word_and_a_file_of_1970_is_packed(workspace, capsys):
    os.utime(workspace / "part1_rlhf/get_logprobs.py", (0, 0))
    (workspace / "part1_rlhf/lost.py").symlink_to("nowhere.py")
    (workspace / "my.ipynb").mkdir()
    hand_in()
    names = set(zipfile.ZipFile(workspace / "my_answers.zip").namelist())
    assert "notebooks/part1_rlhf/get_logprobs.py" in names
    assert not [name for name in names if "lost.py" in name or "my.ipynb" in name]
    shown = capsys.readouterr().out
    assert (
        f"{len(names)} files" in shown and "Left out, since no file is there: my.ipynb and part1_rlhf/lost.py" in shown
    )
