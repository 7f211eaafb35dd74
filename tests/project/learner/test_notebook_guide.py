"""Hints, progress and predictions."""

import json
import subprocess
import sys

import pytest
from learners import answer_text, learner_environment

from rlhf_course import check, compare, hint, predict, progress
from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES
from rlhf_course.notebook.progress_file import read_state
from rlhf_course.notebook.workspace import find_workspace, load_answer


def test_hints_open_one_by_one_and_then_stay_open(workspace, capsys):
    for number in (1, 2, 3):
        hint("get_logprobs")
        assert f"hint {number} of 3" in capsys.readouterr().out
    hint("get_logprobs")
    shown = capsys.readouterr().out
    assert "all hints are open" in shown and "1. " in shown and "3. " in shown


def test_progress_shows_every_exercise_and_the_next_step(workspace, capsys):
    (workspace / DEFAULT_PART.name / "normalize_reward.py").write_text(answer_text("normalize_reward"))
    check("normalize_reward")
    (workspace / DEFAULT_PART.name / "get_logprobs.py").write_text(answer_text("get_logprobs"))
    capsys.readouterr()
    progress()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "normalize_reward" in line and " passed " in line]
    assert [line for line in lines if "get_logprobs" in line and "not checked" in line]
    assert [line for line in lines if "calc_kl_penalty" in line and "not attempted" in line]
    passed = f"1 of {len(EXERCISES)} passed"
    assert f"{passed}. Next: compute_advantages, in 05_advantages_and_memory.ipynb" in lines[-1]


def test_a_file_that_changed_after_its_check_is_not_checked(workspace, capsys):
    path = workspace / DEFAULT_PART.name / "normalize_reward.py"
    path.write_text(answer_text("normalize_reward"))
    check("normalize_reward")
    path.write_text(answer_text("normalize_reward") + "\n# later\n")
    capsys.readouterr()
    progress()
    assert "not checked" in capsys.readouterr().out


def test_a_prediction_is_kept_and_compared(workspace, capsys):
    predict("kl", "KL after one phase?", 0.25)
    compare("kl", 1.5)
    shown = capsys.readouterr().out
    assert "Recorded" in shown
    assert "predicted: 0.25, measured: 1.5, difference: 1.25" in shown
    assert (
        json.loads((workspace / DEFAULT_PART.name / ".progress.json").read_text())["predictions"]["kl"]["value"] == 0.25
    )


def test_a_prediction_that_is_right_but_for_rounding_has_no_difference(workspace, capsys):
    predict("kl", "KL after one phase?", 0.729)
    compare("kl", 0.729 + 9e-8)
    assert "predicted: 0.729, measured: 0.729, difference: 0" in capsys.readouterr().out.splitlines()


def test_without_a_prediction_nothing_fails(workspace, capsys):
    predict("kl", "KL after one phase?", None)
    assert "No prediction yet" in capsys.readouterr().out
    compare("kl", 1.5)
    assert "no prediction was made" in capsys.readouterr().out


def test_tensors_and_texts_can_be_compared(workspace, capsys):
    import torch

    predict("word", "Which token?", " the")
    compare("word", " a")
    predict("n", "How many?", 3)
    compare("n", torch.tensor(4))
    shown = capsys.readouterr().out
    assert "predicted:  the, measured:  a" in shown
    assert "predicted: 3, measured: 4, difference: 1" in shown


def test_a_damaged_record_does_not_stop_anybody(workspace, capsys):
    (workspace / DEFAULT_PART.name / ".progress.json").write_text("{")
    hint("get_logprobs")
    predict("kl", "KL?", 1)
    progress()


@pytest.mark.parametrize("where", ["", DEFAULT_PART.name])
def test_a_plain_editor_and_a_shell_are_enough(workspace, monkeypatch, where):
    monkeypatch.delenv("RLHF_COURSE_WORKSPACE")
    (workspace / DEFAULT_PART.name / "normalize_reward.py").write_text(answer_text("normalize_reward"))
    program = "from rlhf_course import check; result = check('normalize_reward'); print(repr(result))"
    import os

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=workspace / where,
        env={**os.environ, **learner_environment()},
        capture_output=True,
        text=True,
    )
    assert "normalize_reward: passed" in done.stdout
    assert "<check of normalize_reward: passed>" in done.stdout


def test_the_variables_older_name_still_names_the_workspace(workspace, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("RLHF_COURSE_WORKSPACE")
    monkeypatch.setenv("RLHF_COURSE_DESK", str(workspace / DEFAULT_PART.name))
    monkeypatch.chdir(tmp_path)
    assert find_workspace() == workspace


def test_a_record_that_another_process_holds_locked_does_not_stop_a_check(workspace, monkeypatch):
    monkeypatch.setattr("rlhf_course.notebook.progress_file._LOCK_TIMEOUT", 0.1)
    folder = workspace / DEFAULT_PART.name
    lock = str(folder / ".progress.json.lock")
    holder = f"from filelock import FileLock; lock = FileLock({lock!r}); lock.acquire(); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        assert check("get_logprobs").status == "not attempted"
        process.communicate(b"\n")
    assert read_state(folder)["exercises"]["get_logprobs"]["status"] == "not attempted"


def test_outside_of_any_workspace_the_message_says_where_to_start(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RLHF_COURSE_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    progress()
    hint("get_logprobs")
    assert check("get_logprobs").status == "error"
    assert capsys.readouterr().out.count("start in notebooks/") == 3


def test_importing_the_course_loads_neither_torch_nor_ipython():
    import os

    heavy = ("torch", "IPython", "transformer_lens")
    program = f"import sys, rlhf_course, rlhf_course.notebook; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **learner_environment()}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_an_answer_stays_loaded_when_one_of_another_part_is_loaded(solved_workspace):
    first = load_answer(BY_NAME["compute_advantages"])
    load_answer(BY_NAME["dpo_loss"])
    assert sys.modules["part1_rlhf.compute_advantages"].compute_advantages is first
    assert load_answer(BY_NAME["compute_advantages"]) is first
