"""Tests of `rlhf-course demo`."""

import pytest
from rich.console import Console

from rlhf_course import PairArgs, RLHFArgs, TaskArgs
from rlhf_course.demo import run_demo, run_policy_demo, run_preferences_demo, samples_of
from rlhf_course.errors import CourseError


def test_the_demo_shows_text_before_and_after_and_the_path_of_the_curve(small_args, tmp_path, monkeypatch):
    monkeypatch.setattr(RLHFArgs, "for_profile", lambda *names: small_args())
    console = Console(record=True, width=500)
    run_demo(tmp_path / "run", console)
    shown = console.export_text()
    before, after = shown.split("Before (")[1].split("After (")
    for part, phase in ((before, 0), (after, 2)):
        first = " ".join(samples_of(tmp_path / "run", phase)[0].replace("<|endoftext|>", "").split())
        assert first in " ".join(part.split())
    assert str(tmp_path / "run" / "reward.png") in shown and (tmp_path / "run" / "reward.png").is_file()


def test_the_demo_of_part_2_shows_what_the_judge_thinks_of_a_policy_that_follows_a_reward_model(
    small_args, tiny_folder, tmp_path, monkeypatch
):
    few = PairArgs(base_model=str(tiny_folder), pairs=8, held_out=4, gen_len=4, prefix="This is", epochs=1)
    monkeypatch.setattr(PairArgs, "for_run", lambda run: few)
    monkeypatch.setattr(RLHFArgs, "for_profile", lambda *names, reward_fn: small_args(reward_fn=reward_fn))
    console = Console(record=True, width=500)
    folder = run_preferences_demo(tmp_path / "demo", console)
    shown = console.export_text()
    best, last = max(row["gold"] for row in folder.rows), folder.rows[-1]
    assert f"judge {best:.2f}" in shown and f"proxy {last['mean_reward']:.2f}, judge {last['gold']:.2f}" in shown
    assert (folder.path / "proxy_and_judge.png").is_file() and str(folder.path) in shown
    with pytest.raises(CourseError, match="is not empty"):
        run_preferences_demo(tmp_path / "demo", console)


def test_the_demo_of_part_3_shows_what_a_right_and_a_broken_verifier_teach(tmp_path, monkeypatch):
    small = {"demonstrations": 8, "batch_size": 4, "prompts": 2, "group_size": 2, "held_out": 4, "max_new_tokens": 5}
    for_run = TaskArgs.for_run
    monkeypatch.setattr(
        TaskArgs, "for_run", lambda run, **given: for_run(run, **{**given, **small, "total_phases": 2, "base_lr": 1e-3})
    )
    console = Console(record=True, width=500)
    broken = run_policy_demo(tmp_path / "demo", console)
    shown = console.export_text()
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"sft", "grpo", "broken_verifier"}
    assert broken.path.name == "broken_verifier" and "learns the form of an answer from 8 demonstrations" in shown
    assert f"The reward is {broken.rows[-1]['mean_reward']:.2f}" in shown and shown.count("  reward ") == 8
    with pytest.raises(CourseError, match="is not empty"):
        run_policy_demo(tmp_path / "demo", console)


@pytest.mark.slow
def test_the_embedded_model_learns_to_write_at_least_15_periods(tmp_path):
    rows = run_demo(tmp_path / "run", Console(quiet=True)).rows
    assert len(rows) == 30
    assert rows[0]["mean_reward"] < 2
    assert max(row["mean_reward"] for row in rows) >= 15


@pytest.mark.slow
def test_the_kl_penalty_lets_the_reward_rise_and_keeps_the_text_near_the_pretrained_model(tmp_path):
    from part1_rlhf import RLHFTrainer

    trainer = RLHFTrainer(RLHFArgs.for_profile("laptop", "periods"))
    rewards, kls = [], []

    def until_it_has_risen(row, samples):
        rewards.append(row["mean_reward"])
        kls.append(row["kl"])
        if row["mean_reward"] >= 1.8 * rewards[0]:
            trainer.stop()

    trainer.train(tmp_path / "run", show=False, watch=until_it_has_risen)
    assert rewards[-1] >= 1.8 * rewards[0]
    assert max(kls) < 0.5
