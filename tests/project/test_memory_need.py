"""Tests of the memory estimate before a run, and of the error when memory runs out."""

import re
from types import SimpleNamespace

import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course import RLHFArgs
from rlhf_course.errors import CourseError
from rlhf_course.rl.memory_need import advice_when_full, memory_note, needed_bytes

GPT2 = SimpleNamespace(d_vocab=50257, n_layers=12, d_model=768)
GB = 2**30


def test_whole_logits_of_gpt2_at_the_default_batch_are_counted_as_0_8_gigabytes_each():
    needed = needed_bytes(RLHFArgs(), GPT2, 124_000_000, 33)
    assert needed["rollout"] / 3 / GB == pytest.approx(0.79, abs=0.01)
    assert needed["models"] / GB == pytest.approx(2.3, abs=0.05)
    smaller = needed_bytes(RLHFArgs(num_minibatches=8), GPT2, 124_000_000, 33)
    assert smaller["learning"] < needed["learning"] and smaller["rollout"] == needed["rollout"]


def test_a_run_says_what_it_will_take(small_args, tmp_path, capsys):
    RLHFTrainer(small_args(total_phases=1)).train(tmp_path / "run")
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"memory: about [1-9]\d* MB beside PyTorch itself, of which [1-9]\d* MB for models and", shown)


def test_advice_comes_with_a_run_that_will_not_fit_and_names_what_to_lower():
    assert memory_note({"models": GB, "rollout": GB, "learning": 0}, 3 * GB).endswith("for models and optimizer")
    note = memory_note({"models": GB, "rollout": 3 * GB, "learning": GB}, 2 * GB)
    assert "about 4.0 GB" in note and "only 2.0 GB are free: lower batch_size or gen_len" in note
    assert "raise num_minibatches" in memory_note({"models": GB, "rollout": GB, "learning": 3 * GB}, 2 * GB)


@pytest.mark.parametrize(
    ("method", "advice"),
    [("rollout_phase", "lower batch_size or gen_len"), ("compute_rlhf_objective", "raise num_minibatches")],
)
def test_a_lack_of_memory_becomes_advice(small_args, tmp_path, method, advice):
    trainer = RLHFTrainer(small_args())
    setattr(trainer, method, lambda *minibatch: torch.empty(2**50))
    stage = "rollout" if method == "rollout_phase" else "learning"
    with pytest.raises(CourseError, match=f"out of memory in the {stage} phase with batch_size 12, .*: {advice}"):
        trainer.train(tmp_path / "run", show=False)


def test_cudas_own_error_is_known_and_every_other_one_passes():
    with pytest.raises(CourseError, match="out of memory"), advice_when_full("learning", RLHFArgs()):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    with pytest.raises(RuntimeError, match="shapes"), advice_when_full("learning", RLHFArgs()):
        raise RuntimeError("shapes differ")
