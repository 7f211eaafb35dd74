"""Tests of pausing and stopping a run from another thread, and of reading a run while it is trained."""

import threading

import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course.errors import CourseError
from rlhf_course.rl.run_folder import METRICS, read_run

TIMEOUT = 60  # seconds


def in_a_thread(trainer, folder, **options) -> threading.Thread:
    thread = threading.Thread(target=trainer.train, args=(folder,), kwargs={"show": False, **options}, daemon=True)
    thread.start()
    return thread


def test_a_watcher_gets_each_phases_metrics_and_samples_as_they_are_recorded(small_args, tmp_path):
    seen = []
    RLHFTrainer(small_args()).train(
        tmp_path / "run", show=False, watch=lambda row, samples: seen.append((row, samples))
    )
    run = read_run(tmp_path / "run")
    assert [row["phase"] for row, _ in seen] == [0, 1, 2]
    assert [row for row, _ in seen] == run.rows and set(METRICS) <= set(run.rows[0])
    assert [sample for _, samples in seen for sample in samples] == run.samples and len(run.samples) == 36
    assert run.config["args"]["gen_len"] == 7


def test_a_run_in_another_thread_is_paused_within_a_phase_goes_on_and_gives_the_same_metrics(small_args, tmp_path):
    whole = RLHFTrainer(small_args()).train(tmp_path / "whole", show=False)
    step_done, phases = threading.Event(), []

    class PausesItself(RLHFTrainer):
        def compute_rlhf_objective(self, minibatch):
            if self.step == 1:
                self.pause()
                step_done.set()
            return super().compute_rlhf_objective(minibatch)

    trainer = PausesItself(small_args())
    thread = in_a_thread(trainer, tmp_path / "run", watch=lambda row, samples: phases.append(row["phase"]))
    assert step_done.wait(TIMEOUT)
    thread.join(0.3)
    assert thread.is_alive() and trainer.step <= 2 and phases == []
    trainer.unpause()
    thread.join(TIMEOUT)
    assert not thread.is_alive() and phases == [0, 1, 2]
    shared = [{k: v for k, v in row.items() if k != "seconds"} for row in read_run(tmp_path / "run").rows]
    assert shared == [{k: v for k, v in row.items() if k != "seconds"} for row in whole.rows]


def test_a_paused_run_can_be_stopped_and_resumed(small_args, tmp_path):
    trainer = RLHFTrainer(small_args())
    paused = threading.Event()

    def watch(row, samples):
        trainer.pause()
        paused.set()

    thread = in_a_thread(trainer, tmp_path / "run", watch=watch)
    assert paused.wait(TIMEOUT)
    trainer.stop()
    thread.join(TIMEOUT)
    assert not thread.is_alive() and len(read_run(tmp_path / "run").rows) == 1


def test_a_run_is_read_while_it_is_being_written(small_args, tmp_path):
    RLHFTrainer(small_args()).train(tmp_path / "run", show=False)
    samples = tmp_path / "run" / "samples.jsonl"
    with open(samples, "a") as file:
        file.write('{"phase": 3, "reward": 1.0, "text": "wri')
    assert len(read_run(tmp_path / "run").samples) == 36
    assert not read_run(tmp_path / "run").samples[-1]["text"].startswith("wri")


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("samples.jsonl", lambda text: text.replace('"phase": 0', "0", 1), "samples.jsonl is damaged"),
        ("metrics.csv", lambda text: "\n".join(text.splitlines()[::2]) + "\n", "metrics.csv is damaged"),
        ("config.json", lambda text: text[:30], "config.json cannot be read"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(small_args, tmp_path, file, spoil, message):
    RLHFTrainer(small_args(reward_fn=lambda texts: torch.ones(len(texts)))).train(tmp_path / "run", show=False)
    path = tmp_path / "run" / file
    path.write_text(spoil(path.read_text()))
    with pytest.raises(CourseError, match=message):
        read_run(tmp_path / "run")
    with pytest.raises(CourseError, match=r"has no config\.json"):
        read_run(tmp_path / "nowhere")
