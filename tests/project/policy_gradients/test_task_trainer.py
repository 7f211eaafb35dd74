"""Training on tasks: what is recorded, resumed and refused."""

import json
import math
import shutil
import sys
from pathlib import Path

import part3_policy_gradients as part3
import pytest
import torch

import rlhf_course.cli
from rlhf_course import TASKS, GRPOBatch, TaskArgs, accuracy, load_model, task_trainer
from rlhf_course.errors import CourseError
from rlhf_course.rl.launch import resume_run, start_run
from rlhf_course.rl.phase_runs import exercises_of_run, phase_trainer
from rlhf_course.rl.policy_gradients.args import TASK_RUNS
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.run_folder import load_config, read_run

# What a run records besides the columns that all runs have.
COLUMNS = {
    "sft": {"loss"},
    "grpo": {"accuracy", "mixed_groups", "mean_length", "sampled_tokens"},
    "broken_verifier": {"accuracy", "mixed_groups", "mean_length", "sampled_tokens"},
    "expert_iteration": {"accuracy", "mean_length", "sampled_tokens", "kept"},
}


@pytest.fixture
def model(settings):
    return load_model(settings["base_model"])


def trainer_of(kind, settings, *inputs, **overrides):
    return phase_trainer(kind, TaskArgs.for_run(kind, **{**settings, **overrides}), *inputs)


def rows_of(folder):
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in read_run(folder).rows]
    return json.dumps(rows)  # in which NaN is equal to NaN


@pytest.mark.parametrize("kind", TASK_RUNS)
def test_a_run_has_a_row_for_each_phase_and_measures_held_out_prompts_now_and_then(kind, settings, model, tmp_path):
    folder = trainer_of(kind, settings, model).train(tmp_path / "run", show=False)
    run = read_run(folder.path)
    assert [row["phase"] for row in run.rows] == [0, 1, 2, 3] and COLUMNS[kind] <= set(run.rows[0])
    assert ["held_out_accuracy" in row for row in folder.rows] == [False, True, False, True]
    assert all(0 <= folder.rows[-1][name] <= 1 for name in ("held_out_accuracy", "held_out_greedy"))
    assert len(run.samples) == (0 if kind == "sft" else 4 * 8)
    assert run.config["kind"] == kind and (folder.path / "reward.png").is_file()


@pytest.mark.parametrize("kind", TASK_RUNS)
def test_a_stopped_run_that_is_resumed_ends_as_one_that_was_not_stopped(kind, settings, model, tmp_path):
    settings = {**settings, "verifier": "broken"} if kind == "grpo" else settings
    state = {name: value.clone() for name, value in model.state_dict().items()}
    trainer_of(kind, settings, model).train(tmp_path / "whole", show=False)
    model.load_state_dict(state)
    stopped = trainer_of(kind, settings, model)
    stopped.train(tmp_path / "part", show=False, watch=lambda row, _: stopped.stop() if row["phase"] == 1 else None)
    assert len(read_run(tmp_path / "part").rows) == 2
    torch.rand(5)  # another use of the generator in between
    resume_run(tmp_path / "part")
    assert rows_of(tmp_path / "part") == rows_of(tmp_path / "whole")
    assert read_run(tmp_path / "part").samples == read_run(tmp_path / "whole").samples


def test_fine_tuning_learns_its_demonstrations(settings, model, tmp_path):
    few = {"demonstrations": 4, "batch_size": 4, "total_phases": 60, "base_lr": 1e-2, "evaluation_interval": 60}
    trainer = trainer_of("sft", settings, model, **few)
    rows = trainer.train(tmp_path / "run", show=False).rows
    assert rows[-1]["loss"] < 0.2 < rows[0]["loss"]
    assert accuracy(trainer.model, TASKS["sorting"], trainer.prompts, 6, temperature=0) == 1


def test_a_run_starts_from_the_model_of_another_run(settings, model, tmp_path):
    trained = trainer_of("sft", settings, model)
    trained.train(tmp_path / "sft", show=False)
    started = trainer_of("grpo", settings, start=str(tmp_path / "sft"))
    for name, value in trained.model.state_dict().items():
        assert torch.equal(started.model.state_dict()[name], value)


def test_a_run_without_a_start_fine_tunes_its_model_first(settings, monkeypatch, tmp_path):
    monkeypatch.setitem(TASK_RUNS["sft"], "total_phases", 3)
    own = {key: value for key, value in settings.items() if key in ("base_model", "demonstrations", "batch_size")}
    tuned = phase_trainer("sft", TaskArgs.for_run("sft", **own))
    tuned.train(tmp_path / "sft", show=False)
    started = trainer_of("expert_iteration", settings)
    for name, value in tuned.model.state_dict().items():
        assert torch.equal(started.model.state_dict()[name], value)


def test_a_start_that_does_not_fit_is_refused(settings, model, tiny_folder, tmp_path):
    trainer_of("sft", settings, model).train(tmp_path / "sft", show=False)
    start = str(tmp_path / "sft")
    with pytest.raises(CourseError, match="is a run with task 'sorting', and this run has 'even'"):
        trainer_of("grpo", settings, start=start, task="even")
    with pytest.raises(CourseError, match="is a run with base_model"):
        trainer_of("grpo", settings, start=start, base_model=str(tiny_folder))
    with pytest.raises(CourseError, match=r"has no config\.json"):
        trainer_of("grpo", settings, start=str(tmp_path / "none"))
    pairs = {"pairs": 4, "held_out": 4, "gen_len": 4, "prefix": "This is", "epochs": 1, "batch_size": 4}
    on_pairs = PairArgs.for_run("dpo", base_model=str(tiny_folder), **pairs)
    phase_trainer("dpo", on_pairs).train(tmp_path / "dpo", show=False)
    with pytest.raises(CourseError, match="is a run with task None, and this run has 'sorting'"):
        trainer_of("grpo", settings, start=str(tmp_path / "dpo"), base_model=str(tiny_folder))


@pytest.mark.parametrize("task", TASKS)
def test_the_ratio_is_1_before_the_first_step(settings, model, task):
    trainer = trainer_of("grpo", settings, model, task=task)
    batch = trainer.rollout(trainer.task.prompts(6, 1))
    gen_len = batch.completion_mask.shape[1]
    logits = trainer.model(batch.input_ids, attention_mask=batch.attention_mask)[:, -gen_len - 1 : -1]
    logprobs = logits.log_softmax(-1).gather(-1, batch.input_ids[:, -gen_len:, None]).squeeze(-1)
    ratio = (logprobs - batch.old_logprobs).exp()[batch.completion_mask]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-5)


def test_the_clip_fraction_is_the_share_of_tokens_outside_the_bounds_after_the_first_step(settings, model, tmp_path):
    settings = {**settings, "total_phases": 2, "base_lr": 0.05}
    rewarded = {"verify": lambda prompt, text: float(len(text) % 2)}
    one_step = trainer_of("grpo", {**settings, "steps_per_rollout": 1}, model, *rewarded.values())
    assert [row["clipfrac"] for row in one_step.train(tmp_path / "one", show=False).rows] == [0, 0]
    narrow = trainer_of("grpo", {**settings, "clip_low": 0.0, "clip_high": 0.0}, model, *rewarded.values())
    rows = narrow.train(tmp_path / "narrow", show=False).rows
    moved = [row["clipfrac"] for row in rows if row["mixed_groups"]]  # groups with equal rewards move nothing
    assert moved and min(moved) > 0.5
    wide = trainer_of("grpo", {**settings, "clip_low": 1.0, "clip_high": 1e9}, model, *rewarded.values())
    assert all(row["clipfrac"] == 0 for row in wide.train(tmp_path / "wide", show=False).rows)


def test_a_given_verifier_is_the_reward_and_accuracy_is_not_measured_by_it(settings, model, tmp_path):
    trainer = trainer_of("grpo", settings, model, lambda prompt, text: 0.5)
    rows = trainer.train(tmp_path / "run", show=False).rows
    assert all(row["mean_reward"] == 0.5 and row["mixed_groups"] == 0 for row in rows)
    assert all(row["accuracy"] in (0, 1 / 12, 2 / 12) for row in rows)
    with pytest.raises(CourseError, match="with a verifier of its own"):
        resume_run(tmp_path / "run")


def test_the_broken_verifier_is_the_reward_of_its_run(settings, model):
    trainer = trainer_of("broken_verifier", settings, model)
    assert trainer.verify(["7294="], ["1111<|endoftext|>"]).tolist() == [1]
    assert trainer_of("grpo", settings, model).verify(["7294="], ["1111<|endoftext|>"]).tolist() == [0]


def with_changed(batch, **changes):
    return GRPOBatch(**{**vars(batch), **changes})


def halved(batch):
    return GRPOBatch(**{name: value[: len(value) // 2] for name, value in vars(batch).items()})


WRONG_ROLLOUTS = {
    "None": (lambda batch: None, "rollout returned a NoneType, should return a GRPOBatch"),
    "too few completions": (halved, "rollout returned 6 completions, should return 12: 4 of each of 3 prompts"),
    "a reward of NaN": (
        lambda batch: with_changed(batch, rewards=batch.rewards * math.nan),
        "rollout returned rewards that are not finite",
    ),
    "an advantage of NaN": (
        lambda batch: with_changed(batch, advantages=batch.advantages * math.nan),
        "rollout returned advantages that are not finite at a completion's token",
    ),
    "log-probabilities without a shape": (
        lambda batch: with_changed(batch, old_logprobs=batch.old_logprobs[:, :1]),
        r"old_logprobs has shape \[12, 1\], should have \[12, \d\]",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_ROLLOUTS)
def test_a_wrong_rollout_is_named(settings, model, tmp_path, monkeypatch, wrong):
    change, message = WRONG_ROLLOUTS[wrong]
    right = part3.GRPOTrainer.rollout
    monkeypatch.setattr(part3.GRPOTrainer, "rollout", lambda self, prompts: change(right(self, prompts)))
    with pytest.raises(CourseError, match=message):
        trainer_of("grpo", {**settings, "max_new_tokens": 4}, model).train(tmp_path / "run", show=False)


def test_a_rollout_that_verifies_nothing_is_named(settings, model, tmp_path, monkeypatch):
    right = part3.GRPOTrainer.rollout

    def unverified(self, prompts):
        batch = right(self, prompts)
        self._verified = ([], [], [])
        return batch

    monkeypatch.setattr(part3.GRPOTrainer, "rollout", unverified)
    with pytest.raises(CourseError, match=r"rollout called self\.verify for 0 completions, and returned 12"):
        trainer_of("grpo", settings, model).train(tmp_path / "run", show=False)


WRONG_LOSSES = {
    "None": (lambda loss: None, "loss returned a NoneType, should return a scalar tensor"),
    "one number a text": (
        lambda loss: loss.expand(3),
        r"loss returned a tensor of shape \[3\], should return a scalar",
    ),
    "no gradient": (lambda loss: loss.detach(), "loss returned a tensor without a gradient"),
    "NaN": (lambda loss: loss * math.nan, "loss was nan in phase 1"),
}


@pytest.mark.parametrize("wrong", WRONG_LOSSES)
def test_a_wrong_loss_is_named(settings, model, tmp_path, monkeypatch, wrong):
    change, message = WRONG_LOSSES[wrong]
    right = part3.GRPOTrainer.loss
    monkeypatch.setattr(part3.GRPOTrainer, "loss", lambda self, batch: change(right(self, batch)))
    with pytest.raises(CourseError, match=message):
        trainer_of("grpo", settings, model).train(tmp_path / "run", show=False)


@pytest.mark.parametrize("kind", TASK_RUNS)
def test_a_model_whose_tokenizer_has_no_special_tokens_is_refused(kind, settings, model):
    model.tokenizer.bos_token = None
    with pytest.raises(CourseError, match="has no beginning-of-sequence token"):
        trainer_of(kind, settings, model)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size takes a whole number of at least 2, got 1"),
        ({"task": "adding"}, "task takes sorting, even, got 'adding'"),
        ({"digits": 0}, "digits takes a whole number of at least 1"),
        ({"clip_low": 1.5}, "clip_low takes a number of at least 0 and at most 1"),
        ({"baseline": "critic"}, "baseline takes group, leave_one_out"),
        ({"aggregation": "sum"}, "aggregation takes sequence_mean, token_mean, constant"),
        ({"start": ""}, "start takes a text that is not empty"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(CourseError, match=message):
        TaskArgs(**wrong)


def test_the_number_of_digits_is_a_setting_of_sorting(settings, model):
    assert all(len(prompt) == 6 for prompt in trainer_of("sft", settings, model, digits=5).prompts)
    assert {len(prompt) for prompt in trainer_of("sft", settings, model, task="even", digits=5).prompts} > {4, 7}


def test_runs_need_the_exercises_whose_answers_they_call():
    assert exercises_of_run("sft") == ("sft_loss",)
    assert exercises_of_run("expert_iteration") == ("sft_loss", "verify_sorted")
    assert {"GRPOTrainer", "verify_sorted"} < set(exercises_of_run("broken_verifier"))


def test_a_notebooks_trainer_leaves_the_model_that_it_starts_from_as_it_was(settings, model, tmp_path):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = task_trainer("sft", model=model, **settings)
    trainer.train(tmp_path / "run", show=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(trainer.parameters()[0], next(iter(model.parameters())))
    again = trainer_of("sft", settings, model)
    again.train(tmp_path / "again", show=False)
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "run"), "a copy learns as the model does"


def test_a_notebooks_trainer_takes_a_verifier_where_there_is_a_reward(settings, model):
    trainer = task_trainer("grpo", model=model, verify=lambda prompt, text: 1.0, **settings)
    assert trainer.verify(["12="], ["x"]).tolist() == [1]
    with pytest.raises(CourseError, match="expert_iteration takes none"):
        task_trainer("expert_iteration", model=model, verify=lambda prompt, text: 1.0, **settings)
    with pytest.raises(CourseError, match="--run sft has no lr"):
        task_trainer("sft", lr=1)


def test_only_a_notebooks_trainer_is_short_where_its_runs_are(settings, model, monkeypatch):
    monkeypatch.setenv("RLHF_COURSE_SHORT", "1")
    trainer = task_trainer("grpo", model=model, total_phases=50, base_model=settings["base_model"])
    assert trainer.args.total_phases == 2 and TaskArgs.for_run("grpo").total_phases == 50


def command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        rlhf_course.cli.main()
    return ended.value.code


def test_the_command_line_fine_tunes_and_trains_from_there(monkeypatch, settings, tmp_path, capsys):
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    assert command_line(monkeypatch, "train", "--run", "sft", "--out", tmp_path / "sft", *flags) == 0
    start = ["--start", tmp_path / "sft"]
    assert command_line(monkeypatch, "train", "--run", "grpo", "--out", tmp_path / "grpo", *flags, *start) == 0
    assert len(read_run(tmp_path / "grpo").rows) == 4
    capsys.readouterr()
    assert command_line(monkeypatch, "train", "--run", "grpo", *flags, "--start", tmp_path / "grpo", "--task", "even")
    assert "is a run with task 'sorting', and this run has 'even'" in capsys.readouterr().err
    assert command_line(monkeypatch, "train", "--run", "grpo", "--pairs", 3)
    assert "--run grpo has no pairs" in capsys.readouterr().err


def test_a_stub_is_named_when_a_run_needs_it(tmp_path, settings):
    from rlhf_course.paths import REPOSITORY

    with pytest.raises(CourseError, match="sft_loss is not written yet"):
        start_run(tmp_path / "run", "sft", "auto", None, None, REPOSITORY / "notebooks", settings)


def test_a_run_trains_the_code_of_a_folder_that_holds_no_other_part(tmp_path, settings):
    from rlhf_course.paths import SOLUTIONS

    shutil.copytree(SOLUTIONS / "part3_policy_gradients", tmp_path / "code" / "part3_policy_gradients")
    folder = start_run(tmp_path / "run", "sft", "auto", None, None, tmp_path / "code", settings)
    assert Path(load_config(folder.path)["code"]) == (tmp_path / "code").resolve()
