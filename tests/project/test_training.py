"""Tests of training: the phases, the files of a run, and the errors."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from part1_rlhf import RLHFTrainer
from typer.testing import CliRunner

from rlhf_course import Trainer, calc_clipped_surrogate_objective
from rlhf_course.cli import app, main
from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.paths import REPOSITORY, SOLUTIONS
from rlhf_course.rl.run_folder import METRICS, RunFolder, checkpoints, claim_folder, new_folder, read_run

STUBS = REPOSITORY / "notebooks"
COMMAND = [sys.executable, "-c", "from rlhf_course.cli import main; main()"]


def metrics_of(path: Path) -> list[dict[str, str]]:
    """Return a run's metrics without the seconds, which differ between runs."""
    with open(path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def small_flags(tiny_folder: Path, **more) -> list[str]:
    settings = {
        "base_model": tiny_folder,
        "run": "collapse",
        "total_phases": 3,
        "batch_size": 12,
        "num_minibatches": 3,
        "gen_len": 7,
        **more,
    }
    return [part for name, value in settings.items() for part in ("--" + name.replace("_", "-"), str(value))]


# The loop


def test_the_ratio_is_1_on_the_first_minibatch_after_a_rollout(small_args):
    trainer = RLHFTrainer(small_args())
    memory = trainer.rollout_phase()
    minibatch = memory.get_minibatches()[0]
    logits, _ = trainer.model.forward_with_value_head(minibatch.sample_ids)
    logprobs = logits.log_softmax(-1)[:, trainer.prefix_len - 1 : -1]
    logprobs = logprobs.gather(-1, minibatch.sample_ids[:, trainer.prefix_len :, None]).squeeze(-1)
    assert torch.allclose((logprobs - minibatch.logprobs).exp(), torch.ones(4, 7), atol=1e-5)


def test_the_objective_is_its_four_terms(small_args):
    args = small_args(kl_coef=1.5, ent_coef=0.3, vf_coef=0.7)
    trainer = RLHFTrainer(args)
    minibatch = trainer.rollout_phase().get_minibatches()[0]
    with torch.no_grad():  # moves the policy from the reference, so that no term is 0
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    objective = trainer.compute_rlhf_objective(minibatch)
    logits, values = (part.detach() for part in trainer.model.forward_with_value_head(minibatch.sample_ids))
    logprobs, ref = (x[:, -8:-1].double().log_softmax(-1) for x in (logits, minibatch.ref_logits))
    chosen = logprobs.gather(-1, minibatch.sample_ids[:, -7:, None]).squeeze(-1)
    surrogate = calc_clipped_surrogate_objective(chosen, minibatch.logprobs, minibatch.advantages, 0.2, 7)
    value_loss = 0.35 * (values[:, -8:-1] - minibatch.returns).pow(2).mean()
    entropy = -0.3 * (logprobs.exp() * logprobs).sum(-1).mean()
    kl = 1.5 * (logprobs.exp() * (logprobs - ref)).sum(-1).mean()
    assert kl > 1e-3
    assert torch.allclose(objective.double(), surrogate - value_loss + entropy - kl, atol=1e-5)
    objective.backward()
    assert all(parameter.grad is not None for parameter in trainer.model.get_base_model_trainable_params())


def test_a_rollout_keeps_what_was_sampled_and_no_gradient(small_args):
    trainer = RLHFTrainer(small_args(normalize_reward=False, prefix="There is"))
    memory = trainer.rollout_phase()
    assert trainer.prefix_len == trainer.model.to_tokens("There is").shape[1]
    assert memory.sample_ids.shape == (12, trainer.prefix_len + 7)
    for name in ("logprobs", "advantages", "values", "returns", "ref_logits"):
        assert not getattr(memory, name).requires_grad
    rewards = torch.tensor([float(len(text)) for text in trainer.samples])
    assert torch.allclose(memory.advantages[:, -1], rewards - memory.values[:, -2])
    with torch.no_grad():
        assert torch.allclose(memory.ref_logits, trainer.ref_model(memory.sample_ids), atol=1e-6)


def test_a_learning_phase_steps_once_a_minibatch_and_the_schedule_once(small_args):
    trainer = RLHFTrainer(small_args(total_phases=5))
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    objective = trainer.learning_phase(trainer.rollout_phase())
    assert isinstance(objective, float)
    assert trainer.step == 2 * 3
    assert trainer.scheduler.last_epoch == 1
    moved = [name for name, old in before.items() if not torch.equal(old, trainer.model.state_dict()[name])]
    assert any(name.startswith("value_head") for name in moved) and any("embed" in name for name in moved)


def test_the_gradient_is_clipped_to_the_norm_of_the_settings(small_args):
    trainer = RLHFTrainer(small_args(max_grad_norm=1e-3))
    trainer.learning_phase(trainer.rollout_phase())
    gradients = [parameter.grad for parameter in trainer.model.parameters() if parameter.grad is not None]
    assert torch.stack([gradient.norm() for gradient in gradients]).norm() <= 1e-3 * 1.001


def test_the_reference_never_moves(small_args, tmp_path):
    trainer = RLHFTrainer(small_args())
    before = [parameter.clone() for parameter in trainer.ref_model.parameters()]
    trainer.train(tmp_path / "run", show=False)
    assert not trainer.ref_model.training and trainer.model.training
    for old, new in zip(before, trainer.ref_model.parameters(), strict=True):
        assert torch.equal(old, new) and not new.requires_grad


def test_reward_rises_where_the_policy_can_earn_it(small_args, tmp_path):
    args = small_args(
        total_phases=15,
        batch_size=48,
        base_lr=5e-3,
        kl_coef=0.0,
        reward_fn=lambda texts: torch.tensor([float(text.count("e")) for text in texts]),
    )
    rows = RLHFTrainer(args).train(tmp_path / "run", show=False).rows
    assert rows[-1]["mean_reward"] > rows[0]["mean_reward"] + 2
    assert rows[-1]["kl"] > rows[0]["kl"] > 0


# The record


def test_a_run_leaves_settings_metrics_samples_a_plot_and_checkpoints(small_args, tmp_path):
    trainer = RLHFTrainer(small_args())
    trainer.train(tmp_path / "run", show=False)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["args"]["total_phases"] == 3 and config["args"]["gen_len"] == 7
    with open(tmp_path / "run" / "metrics.csv") as file:
        assert tuple(file.readline().strip().split(",")) == METRICS
    rows = metrics_of(tmp_path / "run")
    assert [row["phase"] for row in rows] == ["0", "1", "2"]
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 3 * 12
    for phase in range(3):
        rewards = [sample["reward"] for sample in samples if sample["phase"] == phase]
        assert float(rows[phase]["mean_reward"]) == pytest.approx(sum(rewards) / 12)
    assert all(sample["reward"] == len(sample["text"]) and sample["ref_logprob"] < 0 for sample in samples)
    assert (tmp_path / "run" / "reward.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["phase_00000.pt", "phase_00003.pt"]


def test_the_first_phase_of_a_warm_up_learns_nothing(small_args, tmp_path):
    rows = RLHFTrainer(small_args(warmup_steps=2)).train(tmp_path / "run", show=False).rows
    assert [row["lr"] for row in rows] == [0, 0.5e-3, 1e-3]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6) and rows[0]["clipfrac"] == 0


def test_numbers_that_the_learner_logs_become_columns(small_args, tmp_path):
    class Logging(RLHFTrainer):
        def compute_rlhf_objective(self, minibatch):
            self.log(minibatch_rows=len(minibatch.sample_ids))
            return super().compute_rlhf_objective(minibatch)

    Logging(small_args()).train(tmp_path / "run", show=False)
    assert [row["minibatch_rows"] for row in metrics_of(tmp_path / "run")] == ["4.0"] * 3


def test_the_raw_reward_is_recorded_even_where_the_trainer_does_not_call_reward(small_args, tmp_path):
    class Direct(RLHFTrainer):
        def rollout_phase(self):
            self.reward = lambda samples: self.args.reward_fn(samples)
            memory = super().rollout_phase()
            del self.reward
            return memory

    rows = Direct(small_args()).train(tmp_path / "run", show=False).rows
    assert all(row["mean_reward"] > 10 for row in rows)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(small_args, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        RLHFTrainer(small_args(seed=seed)).train(tmp_path / name, show=False)
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")
    assert (tmp_path / "a" / "samples.jsonl").read_text() == (tmp_path / "b" / "samples.jsonl").read_text()
    assert metrics_of(tmp_path / "a") != metrics_of(tmp_path / "c")


def test_samples_and_progress_are_shown_every_phase(small_args, tmp_path, capsys):
    RLHFTrainer(small_args(reward_fn=lambda texts: torch.full((len(texts),), 0.25))).train(tmp_path / "run")
    shown = capsys.readouterr().out
    for phase in (1, 2, 3):
        assert f"phase {phase}: mean reward 0.25, KL" in shown
    assert "0.250" in shown and "This is" in shown and str(tmp_path / "run")[:20] in shown


# Stopping and resuming


class StopsAfterItsFirstPhase(RLHFTrainer):
    def learning_phase(self, memory):
        self.stop()
        return super().learning_phase(memory)


def test_a_resumed_run_gives_the_metrics_of_one_that_was_never_stopped(small_args, tmp_path):
    args = small_args(total_phases=4, warmup_steps=1)
    RLHFTrainer(args).train(tmp_path / "whole", show=False)
    StopsAfterItsFirstPhase(args).train(tmp_path / "parts", show=False)
    assert len(metrics_of(tmp_path / "parts")) == 1
    RLHFTrainer(args).train(tmp_path / "parts", resume=True, show=False)
    assert metrics_of(tmp_path / "parts") == metrics_of(tmp_path / "whole")
    assert (tmp_path / "parts" / "samples.jsonl").read_text() == (tmp_path / "whole" / "samples.jsonl").read_text()


def test_a_run_that_died_in_its_first_phase_can_be_resumed(small_args, tmp_path):
    class DiesAtOnce(RLHFTrainer):
        def learning_phase(self, memory):
            raise KeyboardInterrupt

    RLHFTrainer(small_args()).train(tmp_path / "whole", show=False)
    with pytest.raises(KeyboardInterrupt):
        DiesAtOnce(small_args()).train(tmp_path / "run", show=False)
    RLHFTrainer(small_args()).train(tmp_path / "run", resume=True, show=False)
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")


def test_a_run_that_is_stopped_after_its_phase_was_recorded_keeps_that_phase(small_args, tmp_path):
    trainer = RLHFTrainer(small_args())
    trainer.train(tmp_path / "run", show=False, watch=lambda row, samples: trainer.stop())
    assert [path.name for path in checkpoints(tmp_path / "run")][-1] == "phase_00001.pt"


def test_phases_after_the_last_checkpoint_are_done_again(small_args, tmp_path):
    class DiesInItsThirdPhase(RLHFTrainer):
        def learning_phase(self, memory):
            if self.phase == 0:
                self.stop()
            return super().learning_phase(memory)

    args = small_args(total_phases=4)
    RLHFTrainer(args).train(tmp_path / "whole", show=False)
    DiesInItsThirdPhase(args).train(tmp_path / "parts", show=False)
    # A killed process leaves rows of phases after the last checkpoint.
    lines = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()
    (tmp_path / "parts" / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    RLHFTrainer(args).train(tmp_path / "parts", resume=True, show=False)
    assert metrics_of(tmp_path / "parts") == metrics_of(tmp_path / "whole")


def test_a_run_is_not_resumed_with_other_settings(small_args, tmp_path):
    StopsAfterItsFirstPhase(small_args()).train(tmp_path / "run", show=False)
    with pytest.raises(CourseError, match="is a run with another gen_len, kl_coef"):
        RLHFTrainer(small_args(gen_len=8, kl_coef=0.1)).train(tmp_path / "run", resume=True, show=False)


def test_ctrl_c_ends_after_the_phase_and_resume_completes_the_run(tiny_folder, tmp_path):
    flags = small_flags(tiny_folder, total_phases=200, batch_size=60)
    process = subprocess.Popen(
        [*COMMAND, "train", *flags, "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.csv"
    while process.poll() is None and not metrics.is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    done = len(metrics_of(tmp_path / "run"))
    assert process.returncode == 0, output
    assert "stopping after this phase" in output and f"{done} of 200 phases done" in output
    assert "Traceback" not in output
    assert 0 < done < 200
    assert [path.name for path in checkpoints(tmp_path / "run")][-1] == f"phase_{done:05d}.pt"


@pytest.fixture
def command_line(monkeypatch, capsys):
    """A function that runs `rlhf-course` in this process and returns its exit code and its stderr."""

    def call(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code or 0, capsys.readouterr().err

    return call


def test_the_command_line_resumes_in_place_and_in_a_copy(command_line, tiny_folder, tmp_path):
    flags = small_flags(tiny_folder, total_phases=11, batch_size=6)
    assert command_line("train", *flags, "--out", tmp_path / "whole") == (0, "")
    whole = metrics_of(tmp_path / "whole")
    (tmp_path / "whole" / "checkpoints" / "phase_00011.pt").unlink()
    assert command_line("train", "--resume", tmp_path / "whole", "--out", tmp_path / "copy") == (0, "")
    assert command_line("train", "--resume", tmp_path / "whole") == (0, "")
    assert metrics_of(tmp_path / "whole") == metrics_of(tmp_path / "copy") == whole
    code, error = command_line("train", "--resume", tmp_path / "whole", "--kl-coef", "1")
    assert code == 2 and "a resumed run keeps its settings: leave out --kl-coef" in error


# What is refused


@pytest.mark.parametrize(
    ("reward_fn", "message"),
    [
        (lambda texts: [1.0] * len(texts), "reward_fn returned a list, should return a float tensor of shape"),
        (lambda texts: torch.zeros(len(texts), 1), r"reward_fn returned shape \[2, 1\], should return"),
        (lambda texts: torch.zeros(()), r"reward_fn returned shape \[\], should return"),
        (lambda texts: torch.ones(len(texts)).int(), r"reward_fn returned torch.int32, .*\(add \.float\(\)\)"),
        (lambda texts: torch.full((len(texts),), float("nan")), "reward_fn returned nan for text 0"),
        (lambda texts: torch.full((len(texts),), float("inf")), "reward_fn returned inf for text 0"),
    ],
)
def test_a_reward_that_is_none_is_refused_before_anything_is_written(small_args, tmp_path, reward_fn, message):
    with pytest.raises(CourseError, match=message):
        RLHFTrainer(small_args(reward_fn=reward_fn)).train(tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


def test_a_text_longer_than_the_model_reads_is_refused(small_args):
    with pytest.raises(
        CourseError, match=r"gen_len takes at most \d+ here: the model\'s context has 64 tokens, .* got 64"
    ):
        RLHFTrainer(small_args(gen_len=64))


def test_a_trainer_that_has_finished_does_not_start_again(small_args, tmp_path):
    trainer = RLHFTrainer(small_args(total_phases=1))
    trainer.train(tmp_path / "run", show=False)
    with pytest.raises(CourseError, match="has finished all its phases"):
        trainer.train(tmp_path / "again", show=False)
    assert not (tmp_path / "again").exists()


def test_rewards_become_float32_without_gradient_whatever_float_they_were(small_args):
    weight = torch.ones(1, requires_grad=True)
    for dtype in (torch.float16, torch.float64):
        trainer = RLHFTrainer(small_args(reward_fn=lambda texts, dtype=dtype: weight.expand(len(texts)).to(dtype)))
        reward = trainer.reward(["a", "b", "c"])
        assert reward.dtype == torch.float32 and not reward.requires_grad and reward.tolist() == [1, 1, 1]


def test_an_objective_that_is_not_a_number_stops_the_run(small_args, tmp_path):
    class Lost(RLHFTrainer):
        def learning_phase(self, memory):
            return float("nan")

    with pytest.raises(CourseError, match="the objective was nan in phase 1"):
        Lost(small_args()).train(tmp_path / "run", show=False)


def test_a_folder_that_is_in_use_is_refused_and_left_as_it_was(small_args, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="run is not empty: name a new folder"):
        RLHFTrainer(small_args()).train(tmp_path / "run", show=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_written_is_refused(small_args, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written: Not a directory"):
        RLHFTrainer(small_args()).train(tmp_path / "file" / "run", show=False)


def test_a_folder_whose_name_is_too_long_is_refused(small_args, tmp_path):
    with pytest.raises(CourseError, match=r"a{300} cannot be written: File name too long"):
        RLHFTrainer(small_args()).train(tmp_path / ("a" * 300), show=False)


def test_a_method_of_the_exercise_that_is_missing_is_not_implemented(small_args):
    with pytest.raises(NotImplementedError):
        Trainer(small_args()).rollout_phase()


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(small_args, tmp_path):
    args = small_args(total_phases=11)
    RLHFTrainer(args).train(tmp_path / "run", show=False)
    _, newest = checkpoints(tmp_path / "run")
    metrics = metrics_of(tmp_path / "run")
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(CourseError, match=r"phase_00011\.pt is damaged: delete it to resume from phase_00010\.pt"):
        RLHFTrainer(args).train(tmp_path / "run", resume=True, show=False)
    assert metrics_of(tmp_path / "run") == metrics
    newest.unlink()
    RLHFTrainer(args).train(tmp_path / "run", resume=True, show=False)
    assert metrics_of(tmp_path / "run") == metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-model", "./no-such-folder"], "base_model './no-such-folder': no such folder"),
        (["--gen-len", "0"], "gen_len takes a whole number of at least 1, got 0"),
        (["--run", "dots"], "run takes collapse, periods, sentiment, overoptimise, got 'dots'"),
        (["--profile", "tpu"], "profile takes auto, laptop, gpu, gpu-fast, gpu-large, got 'tpu'"),
        (
            ["--reward", "dots"],
            "reward takes periods, sentiment-embedded, sentiment-imdb, reward-model:FOLDER or package.module:function",
        ),
        (["--reward", "math:nothing"], "reward 'math:nothing' cannot be imported"),
        (["--reward", "math:pi"], "reward 'math:pi' is a float, should be a function"),
        (["--reward", "sentiment_reward:broken"], "reward 'sentiment_reward:broken' cannot be imported"),
        (
            ["--direction", "neg"],
            "--direction needs --reward sentiment-embedded or sentiment-imdb; periods has no direction",
        ),
        (["--seed", str(2**64)], "seed takes a whole number from 0 to 2**64 - 1, got 18446744073709551616"),
        (["--prefix", "<|endoftext|>This"], "prefix takes a text that does not start with '<|endoftext|>'"),
        (["--lean", "--code", "."], "--lean trains with the solutions' own trainer: leave out --code"),
        (["--direction", "up"], "direction takes pos or neg, got 'up'"),
        (["--code", "./nowhere"], "holds no part1_rlhf"),
        (["--resume", "./nowhere"], "nowhere has no config.json"),
    ],
)
def test_the_command_line_says_what_was_wrong_in_one_line(command_line, arguments, message, tmp_path):
    out = [] if arguments[0] == "--resume" else ["--out", tmp_path / "run"]
    code, error = command_line("train", *arguments, *out)
    assert code == 2
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# The command line


def test_help_behind_an_option_that_takes_a_file_is_no_file(tmp_path):
    done = subprocess.run([*COMMAND, "train", "--out", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Usage" in done.stdout and not list(tmp_path.iterdir())


def test_every_setting_has_a_flag():
    from rlhf_course import RLHFArgs

    shown = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).stdout
    for name in set(RLHFArgs.__dataclass_fields__) - {"reward_fn"}:
        assert "--" + name.replace("_", "-") in shown
    for flag in ("--out", "--resume", "--run", "--profile", "--reward", "--direction", "--code", "--lean"):
        assert flag in shown


def test_a_learners_code_and_a_reward_in_the_current_folder_are_trained_and_recorded(
    command_line, tiny_folder, tmp_path, monkeypatch
):
    desk = tmp_path / "desk"
    (desk / "part1_rlhf").mkdir(parents=True)
    for file in (SOLUTIONS / "part1_rlhf").glob("*.py"):
        (desk / "part1_rlhf" / file.name).write_text(file.read_text())
    (desk / "part1_rlhf" / "normalize_reward.py").write_text(
        "def normalize_reward(reward, eps=1e-5):\n    return 0 * reward\n"
    )
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "my_rewards.py").write_text(
        "import torch\ndef long(texts):\n    return torch.tensor([len(t) / 1 for t in texts])\n"
    )
    monkeypatch.chdir(beside)
    flags = small_flags(tiny_folder, reward="my_rewards:long", code=desk, out=tmp_path / "run")
    assert command_line("train", *flags, "--no-normalize-reward", "--unchecked") == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["code"] == str(desk)
    assert config["args"]["reward_fn"] == {"name": "my_rewards:long", "direction": "pos"}
    assert config["args"]["normalize_reward"] is False and config["args"]["kl_coef"] == 0.0
    assert float(metrics_of(tmp_path / "run")[0]["mean_reward"]) > 20


def test_answers_that_do_not_pass_are_named_and_not_trained(command_line, tiny_folder, tmp_path):
    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf")
    (tmp_path / "part1_rlhf" / "normalize_reward.py").write_text(
        "def normalize_reward(reward, eps=1e-5):\n    return 0 * reward\n"
    )
    shutil.copy(STUBS / "part1_rlhf" / "get_logprobs.py", tmp_path / "part1_rlhf")
    code, error = command_line("train", *small_flags(tiny_folder, code=tmp_path, out=tmp_path / "run"))
    assert code == 2 and error.count("\n") == 1
    # The trainer uses both, so that it cannot be checked before they pass.
    assert (
        "normalize_reward (wrong), get_logprobs (not attempted) and RLHFTrainer (not attempted) have to pass" in error
    )
    assert "--unchecked" in error and not (tmp_path / "run").exists()


@pytest.mark.parametrize("run", ["reward_model", "dpo"])
def test_a_run_on_pairs_asks_only_for_the_exercises_that_it_calls(command_line, tiny_folder, tmp_path, run):
    shutil.copytree(STUBS / "part2_preferences", tmp_path / "part2_preferences")
    shutil.copy(SOLUTIONS / "part2_preferences" / "reward_accuracy.py", tmp_path / "part2_preferences")
    flags = ("--run", run, "--base-model", tiny_folder, "--code", tmp_path, "--out", tmp_path / "run")
    code, error = command_line("train", *flags)
    needed = {"reward_model": {"RewardModel", "bradley_terry_loss"}, "dpo": {"sequence_logprobs", "dpo_loss"}}
    assert code == 2 and {name for name in BY_NAME if f"{name} (not attempted)" in error} == needed[run]


def test_answers_that_pass_are_checked_and_trained_in_a_process_of_their_own(tiny_folder, tmp_path):
    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf")
    flags = small_flags(tiny_folder, code=tmp_path, out=tmp_path / "run", total_phases=1, warmup_steps=0)
    done = subprocess.run([*COMMAND, "train", *flags], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Checking 9 exercises" in done.stdout and len(metrics_of(tmp_path / "run")) == 1


def test_doctor_tells_what_is_here_and_what_is_missing():
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for piece in ("Python", "torch", "GPU", "memory", "embedded model", "models from the hub", "sandbox", "browser"):
        assert piece in done.stdout


def test_a_lean_run_is_chosen_by_a_flag_and_recorded(command_line, tiny_folder, tmp_path):
    assert command_line("train", *small_flags(tiny_folder, out=tmp_path / "run", total_phases=1), "--lean") == (0, "")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["lean"] is True


def test_a_reward_beside_the_run_is_found_again_when_it_is_resumed_from_elsewhere(
    command_line, tiny_folder, tmp_path, monkeypatch
):
    (tmp_path / "my_own_rewards.py").write_text("import torch\ndef one(texts):\n    return torch.ones(len(texts))\n")
    monkeypatch.chdir(tmp_path)
    flags = small_flags(tiny_folder, reward="my_own_rewards:one", out=tmp_path / "run")
    assert command_line("train", *flags) == (0, "")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    monkeypatch.delitem(sys.modules, "my_own_rewards")
    monkeypatch.chdir("/")
    checkpoints(tmp_path / "run")[-1].unlink()
    assert command_line("train", "--resume", tmp_path / "run") == (0, "")
    assert len(metrics_of(tmp_path / "run")) == 3


@pytest.mark.parametrize("reward", ["scorer", "short", "long"])
def test_a_reward_of_any_kind_is_found_again_by_the_name_that_was_given(reward, tmp_path, monkeypatch):
    from rlhf_course import named_reward
    from rlhf_course.rl.rewards import describe_reward

    (tmp_path / "rewards_of_any_kind.py").write_text(
        "import functools, torch\n"
        "class Scorer:\n"
        "    def __call__(self, texts):\n        return torch.ones(len(texts))\n"
        "scorer = Scorer()\n"
        "short = lambda texts: torch.ones(len(texts))\n"
        "long = functools.partial(lambda factor, texts: factor * short(texts), 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = f"rewards_of_any_kind:{reward}"
    described = describe_reward(named_reward(name))
    assert described == {"name": name, "direction": "pos"}
    assert torch.equal(named_reward(**described)(["a", "b"]), torch.ones(2))


def test_doctor_says_what_is_broken_and_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "it is broken: ModuleNotFoundError" in done.stdout and "browser" in done.stdout


# Exercises that return nothing


NOTHING = {
    "make_value_head": (
        "value_head.py",
        "return nn.Sequential",
        "nn.Sequential",
        "make_value_head returned None, should return the value head",
    ),
    "run_value_head": (
        "value_head.py",
        "self.value_head_output = self.value_head(resid)",
        "self.value_head(resid)",
        "returned None for 3 tokens",
    ),
    "forward_with_value_head": (
        "value_head.py",
        "return logits, self.value_head_output",
        "pass",
        "forward_with_value_head returned a NoneType",
    ),
    "get_optimizer": (
        "get_optimizer.py",
        "return torch.optim.AdamW",
        "torch.optim.AdamW",
        "get_optimizer returned None",
    ),
    "normalize_reward": ("normalize_reward.py", "return ", "", "normalize_reward returned None"),
    "compute_advantages": ("compute_advantages.py", "return ", "", "compute_advantages returned None"),
    "get_logprobs": ("get_logprobs.py", "return ", "", "get_logprobs returned None"),
    "calc_kl_penalty": ("calc_kl_penalty.py", "return ", "", "calc_kl_penalty returned None"),
    "calc_entropy_bonus": ("calc_entropy_bonus.py", "return ", "", "calc_entropy_bonus returned None"),
    "reward_fn_char_count": ("reward_fn_char_count.py", "return ", "", "reward_fn returned None"),
    "rollout_phase": (
        "trainer.py",
        "return ReplayMemory(",
        "ReplayMemory(",
        "rollout_phase returned a NoneType, should return a ReplayMemory",
    ),
    "compute_rlhf_objective": ("trainer.py", "return surrogate", "surrogate", "compute_rlhf_objective returned None"),
    "learning_phase": ("trainer.py", "return sum(objectives)", "sum(objectives)", "learning_phase returned a NoneType"),
    "an unwritten trainer": (
        "trainer.py",
        "return ReplayMemory(",
        "raise NotImplementedError('write this part'); ReplayMemory(",
        "rollout_phase is not written yet (trainer.py, line",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_exercise_that_returns_nothing_is_named_in_one_line(command_line, tiny_folder, tmp_path, name):
    file, returning, instead, message = NOTHING[name]
    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf")
    text = (tmp_path / "part1_rlhf" / file).read_text()
    docstring, code = (
        text.rsplit("### BEGIN SOLUTION", 1) if file != "value_head.py" and file != "trainer.py" else ("", text)
    )
    assert returning in code
    joint = "### BEGIN SOLUTION" if docstring else ""
    (tmp_path / "part1_rlhf" / file).write_text(docstring + joint + code.replace(returning, instead))
    flags = small_flags(tiny_folder, code=tmp_path, out=tmp_path / "run", kl_coef=1.0)
    code, error = command_line("train", *flags, "--unchecked")
    assert code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_an_error_of_a_reward_is_not_taken_for_an_exercise_that_is_not_written(tiny_folder, tmp_path):
    from rlhf_course.rl.launch import start_run

    (tmp_path / "unfinished_reward.py").write_text(
        "def broken(texts):\n    raise NotImplementedError('no such operator')\n"
    )
    given = {"base_model": str(tiny_folder), "total_phases": 1, "warmup_steps": 0, "batch_size": 4, "gen_len": 3}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(NotImplementedError, match="no such operator"):
        patch.syspath_prepend(str(tmp_path))
        start_run(tmp_path / "run", "collapse", "laptop", "unfinished_reward:broken", None, SOLUTIONS, given)


def test_a_missing_method_of_the_exercise_is_named(tiny_folder, tmp_path):
    from rlhf_course.rl.launch import start_run

    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf")
    file = tmp_path / "part1_rlhf" / "value_head.py"
    file.write_text(file.read_text().replace("def make_value_head", "def make_another"))
    given = {"base_model": str(tiny_folder), "total_phases": 1, "warmup_steps": 0}
    with pytest.raises(CourseError, match="make_value_head is not written yet"):
        start_run(tmp_path / "run", "collapse", "laptop", None, None, tmp_path, given)


# Output that cannot be written


@pytest.mark.parametrize("command", [["exercises"], ["exercises", "--json"], ["--help"]])
def test_output_that_does_not_fit_on_the_disk_is_one_line_and_a_closed_pipe_is_silent(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "error: the output cannot be written: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *command], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode != 0 and done.stderr == ""


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "gone"), OSError(errno.ENOSPC, "full")])
def test_a_run_goes_on_when_its_output_cannot_be_written(small_args, tmp_path, monkeypatch, error):
    class Unwritable(io.StringIO):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stdout", Unwritable())
    assert len(RLHFTrainer(small_args()).train(tmp_path / "run").rows) == 3


def test_a_run_goes_on_without_its_plot(small_args, tmp_path, monkeypatch, capsys):
    def fails(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RunFolder, "draw", fails)
    assert len(RLHFTrainer(small_args()).train(tmp_path / "run", show=False).rows) == 3
    assert "warning: no reward.png: PermissionError" in capsys.readouterr().err


# What is handed out is a copy


@pytest.mark.parametrize("change", [list.sort, list.clear])
def test_a_reward_function_that_changes_its_list_gives_each_text_its_own_reward(small_args, tmp_path, change):
    def reward_fn(texts):
        reward = torch.tensor([float(len(text)) for text in texts])
        change(texts)
        return reward

    trainer = RLHFTrainer(small_args(reward_fn=reward_fn))
    trainer.train(tmp_path / "run", show=False)
    assert len(trainer.samples) == 12
    samples = read_run(tmp_path / "run").samples
    assert len(samples) == 36 and all(sample["reward"] == len(sample["text"]) for sample in samples)


@pytest.mark.parametrize("change", [lambda reward: reward.zero_(), lambda reward: reward.sub_(reward.mean())])
def test_a_rollout_that_changes_its_reward_in_place_changes_neither_the_record_nor_the_reward_functions_own(
    small_args, change
):
    own = torch.arange(12.0)
    trainer = RLHFTrainer(small_args(reward_fn=lambda texts: own[: len(texts)]))
    change(trainer.reward(["a text"] * 12))
    assert torch.equal(trainer._raw_reward, torch.arange(12.0)) and torch.equal(own, torch.arange(12.0))


def test_a_watcher_that_changes_what_it_gets_changes_no_record(small_args, tmp_path):
    def spoil(row, samples):
        row.clear()
        samples.clear()

    RLHFTrainer(small_args()).train(tmp_path / "run", show=False, watch=spoil)
    assert [row["phase"] for row in read_run(tmp_path / "run").rows] == [0, 1, 2]


# The run's folder


def test_two_runs_of_one_second_get_two_folders(small_args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainers = [RLHFTrainer(small_args(total_phases=1, kl_coef=coefficient)) for coefficient in (0.5, 0.7)]
    for trainer in trainers:
        trainer.run_name = "same"
    folders = [trainer.train(show=False).path for trainer in trainers]
    assert [folder.name for folder in folders] == ["same", "same-2"] == [trainer.run_name for trainer in trainers]
    configs = [read_run(folder).config for folder in folders]
    assert [(config["run_name"], config["args"]["kl_coef"]) for config in configs] == [("same", 0.5), ("same-2", 0.7)]


def test_of_many_that_want_a_folder_at_once_one_gets_it(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def claim(number: int) -> int | None:
        start.wait()
        try:
            with new_folder(tmp_path / "run"):
                RunFolder.create(tmp_path / "run", {"number": number}).save_checkpoint(0, {})
                return number
        except CourseError:
            return None

    start = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(claim, range(8)) if number is not None]
    assert [json.loads((tmp_path / "run" / "config.json").read_text())["number"]] == winners
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: claim_folder(tmp_path, "name").name, range(8)))
    assert len(set(names)) == 8
