"""The gate to training."""

import json

import pytest
from learners import answer_text, stub_text

from rlhf_course import (
    PairArgs,
    RLHFArgs,
    check,
    open_training,
    pair_trainer,
    passed,
    reset,
    train_run,
)
from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.course import DEFAULT_PART
from rlhf_course.notebook import run_cost
from rlhf_course.notebook.exercise_progress import read_progress
from rlhf_course.notebook.run_cost import estimate
from rlhf_course.paths import REPOSITORY
from rlhf_course.rl import profiles
from rlhf_course.stubs import given_text, is_given


@pytest.fixture
def small_runs(monkeypatch):
    """Runs of two phases, on a model of two layers."""
    monkeypatch.setenv("RLHF_COURSE_SHORT", "1")
    monkeypatch.setitem(profiles._MODELS, "laptop", gpt2_folder())


def test_with_stubs_the_gate_says_what_is_missing_and_nothing_is_raised(workspace, capsys):
    assert open_training() is None
    shown = capsys.readouterr().out
    assert "The gate is closed" in shown
    assert "compute_advantages: not attempted" in shown
    assert train_run("collapse", profile="laptop") is None


def test_the_learners_trainer_trains_when_all_pass(solved_workspace, small_runs, capsys):
    folder = train_run("collapse", profile="laptop").path
    shown = capsys.readouterr().out
    assert "The gate is open" in shown
    assert "if the model is about as large as GPT-2 small" in shown  # its size is not known
    assert "GB of memory" in shown and shown.index("GB of memory") < shown.index("phase 1:")
    config = json.loads((folder / "config.json").read_text())
    assert config["reference"] == []
    assert config["code"] == str(solved_workspace)
    assert config["args"]["total_phases"] == 2
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3


def test_the_reference_fills_a_gap_for_one_run_and_the_record_says_so(solved_workspace, small_runs, capsys):
    path = solved_workspace / DEFAULT_PART.name / "compute_advantages.py"
    path.write_text(stub_text("compute_advantages"))
    assert train_run("collapse", profile="laptop") is None
    folder = train_run("collapse", profile="laptop", use_reference=["compute_advantages"]).path
    assert json.loads((folder / "config.json").read_text())["reference"] == ["compute_advantages"]
    assert "compute_advantages: the course's answer" in capsys.readouterr().out
    import part1_rlhf
    import torch

    with pytest.raises(NotImplementedError):
        part1_rlhf.compute_advantages(torch.zeros(1, 3), torch.zeros(1), 1)
    assert path.read_text() == stub_text("compute_advantages")


def test_an_exercise_that_the_course_leaves_out_is_neither_asked_for_nor_listed_and_trains(
    solved_workspace, small_runs, capsys
):
    path = solved_workspace / DEFAULT_PART.name / "compute_advantages.py"
    path.write_text(given_text(path.read_text()))
    folder = train_run("collapse", profile="laptop").path
    shown = capsys.readouterr().out
    assert "The gate is open" in shown and "compute_advantages" not in shown.split("The gate is open")[1]
    assert json.loads((folder / "config.json").read_text())["reference"] == []
    assert "compute_advantages" not in [row.exercise for row in read_progress()]
    assert passed("compute_advantages") and check("compute_advantages")
    reset("compute_advantages")
    assert is_given(path.read_text()) and "is given in this course" in capsys.readouterr().out


MEASURED = json.loads((REPOSITORY / "benchmarks/results/profiles.json").read_text())


@pytest.mark.parametrize("name", [name for name in MEASURED if name != "threads"])
def test_what_a_run_is_said_to_cost_is_near_what_was_measured(name, monkeypatch):
    # The speed of one idle core of the machine on which the phases were measured.
    monkeypatch.setattr(run_cost, "matmul_speed", lambda width: 2e11)
    measured = MEASURED[name]
    profile = "laptop" if "embedded" in name else "gpu"
    args = RLHFArgs.for_profile(
        profile, "sentiment" if "sentiment" in name else "periods", batch_size=measured["texts"]
    )
    cost = estimate(args, threads=1)
    assert cost.gigabytes == pytest.approx(measured["peak_gigabytes"], rel=0.4)
    if "embedded" in name:  # of GPT-2 there are too few texts for its time to say anything
        assert cost.seconds / args.total_phases == pytest.approx(measured["cpu_seconds_a_phase"], rel=0.5)


def test_the_minutes_that_a_run_is_said_to_take_follow_the_speed_of_this_machine(monkeypatch):
    args = RLHFArgs.for_profile("laptop")
    seconds = []
    for speed in (1e11, 2e11):
        monkeypatch.setattr(run_cost, "matmul_speed", lambda width, speed=speed: speed)
        seconds.append(estimate(args, threads=1).seconds)
    assert seconds[0] == pytest.approx(2 * seconds[1])
    monkeypatch.undo()
    assert run_cost.matmul_speed(64) > 1e6


def test_sentiment_gates_its_own_run(solved_workspace, small_runs, capsys):
    (solved_workspace / DEFAULT_PART.name / "reward_fn_sentiment_imdb.py").write_text(
        stub_text("reward_fn_sentiment_imdb")
    )
    assert train_run("sentiment", profile="laptop") is None
    assert "reward_fn_sentiment_imdb has to pass first" in capsys.readouterr().out
    assert open_training() is not None


def test_impossible_settings_are_shown_as_a_message(solved_workspace, capsys):
    assert train_run("nowhere") is None
    assert train_run("collapse", batch_sise=3) is None
    assert train_run("collapse", use_reference=["foo"]) is None
    shown = capsys.readouterr().out
    assert "run takes collapse" in shown and "batch_sise" in shown and "foo" in shown


def test_a_cell_can_ask_whether_an_exercise_passes(workspace, capsys):
    assert not passed("normalize_reward")
    assert "needs normalize_reward" in capsys.readouterr().out
    (workspace / DEFAULT_PART.name / "normalize_reward.py").write_text(answer_text("normalize_reward"))
    assert passed("normalize_reward")
    (workspace / DEFAULT_PART.name / "normalize_reward.py").write_text(
        answer_text("normalize_reward").replace("reward.mean()", "0")
    )
    assert not passed("normalize_reward")


@pytest.mark.parametrize("run", ["reward_model", "dpo"])
def test_only_a_notebooks_trainer_on_pairs_is_short_where_its_runs_are(solved_workspace, small_runs, run):
    settings = {"base_model": gpt2_folder(), "prefix": "This is", "gen_len": 4}
    trainer = pair_trainer(run, **settings)
    assert (trainer.kind, len(trainer.pairs), len(trainer.held_out), trainer.args.epochs) == (run, 32, 16, 1)
    assert PairArgs.for_run(run, **settings).pairs >= 500
