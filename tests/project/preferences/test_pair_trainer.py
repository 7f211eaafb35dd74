"""Training on pairs: what is recorded, resumed and refused, and a reward model as a policy's reward."""

import csv
import json
import math
import os
import sys

import pytest
import torch

import rlhf_course.cli
from rlhf_course.errors import CourseError
from rlhf_course.rl.launch import resume_run, start_run
from rlhf_course.rl.phase_runs import phase_trainer
from rlhf_course.rl.preferences.args import PAIR_RUNS, PairArgs
from rlhf_course.rl.preferences.dpo import DPOTrainer, logprobs_without_gradient
from rlhf_course.rl.preferences.pairs import Pair, read_pairs
from rlhf_course.rl.preferences.probe import end_states, fit_linear_reward, linear_accuracy
from rlhf_course.rl.preferences.reward_model import (
    RewardModelTrainer,
    latest_reward_model,
    load_reward_model,
    predicted_rewards,
)
from rlhf_course.rl.rewards import describe_reward, named_reward
from rlhf_course.rl.run_folder import read_run

PROMPT = "This is"
PAIRS = [Pair(PROMPT, " good." * (1 + number % 3), " a test" * (1 + number % 2)) for number in range(12)]


@pytest.fixture
def settings(tiny_folder):
    return {
        "base_model": str(tiny_folder),
        "prefix": PROMPT,
        "pairs": 10,
        "held_out": 6,
        "gen_len": 5,
        "batch_size": 4,
        "base_lr": 3e-3,
        "warmup_steps": 1,
    }


@pytest.fixture
def reward_model(settings, tmp_path):
    """The folder of a trained reward model."""
    RewardModelTrainer(PairArgs(**settings, epochs=20), (PAIRS, PAIRS[:3])).train(tmp_path / "reward", show=False)
    return tmp_path / "reward"


@pytest.mark.parametrize("kind", PAIR_RUNS)
def test_a_run_has_a_row_for_each_step_and_measures_held_out_pairs_after_each_epoch(settings, tmp_path, kind):
    folder = phase_trainer(kind, PairArgs(**settings)).train(tmp_path / "run", show=False)
    rows = read_run(folder.path).rows
    assert len(rows) == 6 and [row["phase"] for row in rows] == list(range(6))
    assert all(row["objective"] == -row["loss"] and 0 <= row["accuracy"] <= 1 for row in rows)
    assert [isinstance(row["held_out_accuracy"], float) for row in rows] == [False, False, True] * 2
    assert len(read_pairs(folder.path / "pairs.jsonl")) == 10 and len(read_pairs(folder.path / "held_out.jsonl")) == 6
    assert (folder.path / "reward.png").is_file()
    assert json.loads((folder.path / "config.json").read_text())["kind"] == kind


def test_a_reward_model_learns_to_rank_its_pairs(reward_model):
    rows = read_run(reward_model).rows
    assert rows[0]["loss"] > 0.3 and rows[-1]["loss"] < 0.1 and rows[-1]["held_out_accuracy"] == 1


def test_the_latest_reward_model_is_finished_and_learned_from_enough_pairs(settings, tmp_path):
    runs = tmp_path / "runs"
    assert latest_reward_model(runs) is None

    def train(name, count, trainer=RewardModelTrainer, stop=False):
        made = trainer(PairArgs(**{**settings, "pairs": count}), (PAIRS[:count], PAIRS[:3]))
        made.train(runs / name, show=False, watch=lambda row, samples: made.stop() if stop else None)
        os.utime(runs / name / "config.json", (len(times := [*runs.iterdir()]), len(times)))

    for name, count, options in (
        ("older", 10, {}),
        ("wanted", 10, {}),
        ("few pairs", 4, {}),
        ("stopped", 10, {"stop": True}),
        ("policy", 10, {"trainer": DPOTrainer}),
    ):
        train(name, count, **options)
    (runs / "damaged").mkdir()
    (runs / "damaged" / "config.json").write_text("{}")
    assert latest_reward_model(runs, pairs=10) == runs / "wanted"
    assert latest_reward_model(runs, pairs=4) == runs / "few pairs"
    assert latest_reward_model(runs) is None  # the run `reward_model` learns from 500 pairs


def test_dpo_begins_at_log_2_and_moves_the_log_ratios_apart(settings):
    trainer = DPOTrainer(PairArgs(**{**settings, "epochs": 10}), (PAIRS, PAIRS[:3]))
    before = logprobs_without_gradient(trainer.model, [(PROMPT, PAIRS[0].chosen)])
    folder = trainer.train(show=False)
    first, last = folder.rows[0], folder.rows[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["chosen_log_ratio"] == pytest.approx(0, abs=1e-4)
    assert last["chosen_log_ratio"] > last["rejected_log_ratio"] + 1
    after = logprobs_without_gradient(trainer.model, [(PROMPT, PAIRS[0].chosen)])
    assert trainer.reference["pairs"][0][0] == pytest.approx(before.item(), abs=1e-4) != after.item()


@pytest.mark.parametrize("kind", PAIR_RUNS)
def test_a_stopped_run_that_is_resumed_ends_as_one_that_was_not_stopped(settings, tmp_path, kind):
    whole = phase_trainer(kind, PairArgs(**settings)).train(tmp_path / "whole", show=False)
    stopped = phase_trainer(kind, PairArgs(**settings))
    stopped.train(tmp_path / "part", show=False, watch=lambda row, _: stopped.stop() if row["phase"] == 2 else None)
    assert len(read_run(tmp_path / "part").rows) == 3
    resume_run(tmp_path / "part")
    for row, same in zip(whole.rows, read_run(tmp_path / "part").rows, strict=True):
        assert row["loss"] == pytest.approx(same["loss"], rel=1e-4)


def test_a_resumed_run_keeps_its_settings(settings, tmp_path):
    RewardModelTrainer(PairArgs(**settings)).train(tmp_path / "run", show=False)
    other = RewardModelTrainer(PairArgs(**{**settings, "base_lr": 1e-5}))
    with pytest.raises(CourseError, match="other settings"):
        other.train(tmp_path / "run", resume=True, show=False)


def test_a_trained_reward_model_is_a_reward_by_name_and_records_the_judges_view(reward_model, small_args, tmp_path):
    reward = named_reward(f"reward-model:{reward_model}")
    texts = [f"<|endoftext|>{PROMPT} good.", f"{PROMPT} a test<|endoftext|> good. good."]
    model, prompt = load_reward_model(reward_model)
    assert prompt == PROMPT
    assert torch.equal(reward(texts), predicted_rewards(model, PROMPT, [" good.", " a test"]))
    assert describe_reward(reward) == {"name": f"reward-model:{reward_model}", "direction": "pos"}

    from part1_rlhf import RLHFTrainer

    folder = RLHFTrainer(small_args(reward_fn=reward)).train(tmp_path / "policy", show=False)
    assert all(isinstance(row["gold"], float) for row in read_run(folder.path).rows)
    resume = {**json.loads((folder.path / "config.json").read_text())["args"]["reward_fn"]}
    assert named_reward(**resume).imported.folder == reward_model


def test_a_folder_without_a_reward_model_is_refused(settings, tmp_path):
    DPOTrainer(PairArgs(**settings)).train(tmp_path / "dpo", show=False)
    with pytest.raises(CourseError, match="no run of a reward model"):
        named_reward(f"reward-model:{tmp_path / 'dpo'}")
    with pytest.raises(CourseError, match=r"config\.json"):
        named_reward(f"reward-model:{tmp_path / 'none'}")


def test_pairs_of_a_file_are_divided_into_pairs_to_learn_from_and_held_out_ones(settings, tmp_path):
    from rlhf_course.rl.preferences.pairs import write_pairs

    write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    trainer = RewardModelTrainer(PairArgs(**settings, pairs_file=str(tmp_path / "pairs.jsonl")))
    assert (trainer.pairs, trainer.held_out) == (PAIRS[:11], PAIRS[11:]) and trainer.args.pairs == 11
    write_pairs(tmp_path / "few.jsonl", PAIRS[:9])
    with pytest.raises(CourseError, match="holds 9 pairs, should hold at least 10"):
        RewardModelTrainer(PairArgs(**settings, pairs_file=str(tmp_path / "few.jsonl")))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"beta": 0}, "beta takes a number above 0"), ({"pairs": 0}, "pairs takes a whole number of at least 1")],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(CourseError, match=message):
        PairArgs(**wrong)


def test_a_linear_reward_on_frozen_states_learns_from_few_pairs(tiny_bridge):
    weights = fit_linear_reward(tiny_bridge, PAIRS, decay=0.01)
    assert weights.shape == (tiny_bridge.cfg.d_model,) and linear_accuracy(tiny_bridge, weights, PAIRS) == 1
    assert end_states(tiny_bridge, PROMPT, [" good."]).shape == (1, tiny_bridge.cfg.d_model)


def command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
    rlhf_course.cli.main()


def test_the_command_line_trains_a_reward_model_and_a_policy_on_it(monkeypatch, settings, tmp_path, capsys):
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    with pytest.raises(SystemExit, match="0"):
        command_line(monkeypatch, "train", "--run", "reward_model", "--out", tmp_path / "reward", *flags)
    small = ["--total-phases", 2, "--batch-size", 4, "--gen-len", 4, "--base-model", settings["base_model"]]
    reward = f"reward-model:{tmp_path / 'reward'}"
    over = ["train", "--run", "overoptimise", *small, "--prefix", PROMPT]
    with pytest.raises(SystemExit, match="0"):
        command_line(monkeypatch, *over, "--out", tmp_path / "policy", "--reward", reward)
    with (tmp_path / "policy/metrics.csv").open() as file:
        assert all(math.isfinite(float(row["gold"])) for row in csv.DictReader(file))
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        command_line(monkeypatch, *over)
    assert "--run overoptimise needs a reward model" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command_line(monkeypatch, "train", "--run", "dpo", "--kl-coef", 1)
    assert "--run dpo has no kl_coef" in capsys.readouterr().err


def test_a_stub_is_named_when_a_run_needs_it(tmp_path, settings):
    from rlhf_course.paths import REPOSITORY

    with pytest.raises(CourseError, match="is not written yet"):
        start_run(tmp_path / "run", "reward_model", "auto", None, None, REPOSITORY / "notebooks", settings)


@pytest.mark.parametrize("kind", PAIR_RUNS)
def test_pairs_of_several_prompts_or_an_empty_one_are_refused(settings, kind):
    other = Pair("That is", " good.", " a test")
    with pytest.raises(CourseError, match="one prompt, got 2 prompts: 'That is', 'This is'"):
        phase_trainer(kind, PairArgs(**settings), ([*PAIRS, other], PAIRS[:3]))
    with pytest.raises(CourseError, match="an empty one"):
        phase_trainer(kind, PairArgs(**settings), ([Pair("", " good.", " a test")],) * 2)


def test_a_reward_model_from_a_file_judges_texts_by_the_files_prompt(settings, tmp_path):
    pairs = [Pair("That film", pair.chosen, pair.rejected) for pair in PAIRS]
    RewardModelTrainer(PairArgs(**settings), (pairs, pairs[:3])).train(tmp_path / "run", show=False)
    reward = named_reward(f"reward-model:{tmp_path / 'run'}")
    texts = ["<|endoftext|>That film good.", "<|endoftext|>That film a test"]
    model, _ = load_reward_model(tmp_path / "run")
    assert torch.equal(reward(texts), predicted_rewards(model, "That film", [" good.", " a test"]))
