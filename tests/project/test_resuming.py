"""Tests of resuming a run, and of the errors for folders that cannot be resumed."""

import json
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course.errors import CourseError
from rlhf_course.rl.run_folder import _write_errors, check_free, checkpoints, read_run


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a run, except the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows_of(folder: Path) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_run(folder).rows]


def random_reward(texts: list[str]) -> torch.Tensor:
    """A reward that draws from each generator that a learner may use."""
    draws = [random.random() + np.random.rand() for _ in texts]
    return torch.tensor(draws).float() + torch.rand(len(texts))


def test_a_resumed_run_draws_the_random_numbers_of_one_that_was_never_stopped(small_args, tmp_path):
    args = small_args(reward_fn=random_reward)
    RLHFTrainer(args).train(tmp_path / "whole", show=False)
    trainer = RLHFTrainer(args)
    trainer.train(tmp_path / "parts", show=False, watch=lambda row, samples: trainer.stop())
    for generator in (random.random, np.random.rand, lambda: torch.rand(1)):
        generator()
    RLHFTrainer(args).train(tmp_path / "parts", resume=True, show=False)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_folder) -> Path:
    """A run of two phases that was stopped, with checkpoints of phases 0 and 1."""
    from rlhf_course import RLHFArgs, named_reward, use_code

    use_code()
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"base_model": str(tiny_folder), "batch_size": 6, "num_minibatches": 3, "gen_len": 5}
    trainer = RLHFTrainer(RLHFArgs(total_phases=3, warmup_steps=0, reward_fn=named_reward("periods"), **settings))
    trainer.train(folder, show=False, watch=lambda row, samples: trainer.stop())
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the stopped run, which the test damages."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "run"))


def without_a_key(run: Path) -> None:
    newest = checkpoints(run)[-1]
    state = torch.load(newest, weights_only=True)
    del state["optimizer"], state["numpy_rng"]
    torch.save(state, newest)


def with_another_setting(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["args"]["kl_coef"] = 0.1
    (run / "config.json").write_text(json.dumps(config))


def cut(name: str, characters: int):
    def spoil(run: Path) -> None:
        text = (run / name).read_text()
        (run / name).write_text(text[:-characters])

    return spoil


DAMAGE = {
    "a cut last sample": (
        cut("samples.jsonl", 9),
        r"samples.jsonl holds 5 samples of the first 1 phases, should hold 6",
    ),
    "no samples": (lambda run: (run / "samples.jsonl").unlink(), "samples.jsonl holds 0 samples of the first 1 phases"),
    "no metrics": (
        lambda run: (run / "metrics.csv").unlink(),
        "metrics.csv holds 0 phases, and the newest checkpoint is of phase 1",
    ),
    "metrics of nothing": (lambda run: (run / "metrics.csv").write_bytes(b"\xff\x00"), "metrics.csv is damaged"),
    "a cut config": (cut("config.json", 20), "config.json cannot be read"),
    "a config of something else": (
        lambda run: (run / "config.json").write_text("[]"),
        "config.json was not written by",
    ),
    "an edited config": (
        with_another_setting,
        "config.json has been edited: the run was trained with another kl_coef",
    ),
    "no checkpoint": (lambda run: [checkpoint.unlink() for checkpoint in checkpoints(run)], "has no checkpoint"),
    "a checkpoint without keys": (
        without_a_key,
        r"phase_00001.pt lacks optimizer, numpy_rng: delete it to resume from phase_00000.pt",
    ),
    "a checkpoint of nothing": (
        lambda run: torch.save([1], checkpoints(run)[-1]),
        "phase_00001.pt is damaged: delete it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_named_and_left_as_it_was(run, damage, monkeypatch, capsys):
    from rlhf_course.cli import main

    spoil, message = DAMAGE[damage]
    spoil(run)
    before = contents(run)
    monkeypatch.setattr("sys.argv", ["rlhf-course", "train", "--resume", str(run)])
    with pytest.raises(SystemExit) as exit_:
        main()
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert message.replace("\\", "") in error
    assert contents(run) == before


def test_a_sample_that_was_being_written_when_the_run_died_is_written_again(run, finished):
    from rlhf_course.rl.launch import resume_run

    with open(run / "samples.jsonl", "a") as file:
        file.write('{"phase": 1, "rew')
    resume_run(run)
    assert len(read_run(run).samples) == 3 * 6


def test_a_run_is_trained_by_one_at_a_time(small_args, tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    def hold(row, samples):
        inside.set()
        go_on.wait(60)

    first = threading.Thread(
        target=RLHFTrainer(small_args(total_phases=1)).train,
        args=(tmp_path / "run",),
        kwargs={"show": False, "watch": hold},
    )
    first.start()
    try:
        assert inside.wait(60)
        with pytest.raises(CourseError, match="run is being trained already"):
            RLHFTrainer(small_args(total_phases=1)).train(tmp_path / "run", resume=True, show=False)
    finally:
        go_on.set()
        first.join(60)
    assert len(read_run(tmp_path / "run").rows) == 1


def test_a_full_disk_ends_the_run_with_one_message_and_keeps_what_was_there(small_args, tmp_path):
    def fills_the_disk(row, samples):
        (tmp_path / "run" / "samples.jsonl").unlink()
        (tmp_path / "run" / "samples.jsonl").symlink_to("/dev/full")

    with pytest.raises(CourseError, match="cannot be written: No space left on device"):
        RLHFTrainer(small_args()).train(tmp_path / "run", show=False, watch=fills_the_disk)
    (tmp_path / "run" / "samples.jsonl").unlink()  # reading /dev/full never ends
    assert len(read_run(tmp_path / "run").rows) == 1 and checkpoints(tmp_path / "run")


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_older_ones(small_args, tmp_path, monkeypatch):
    save = torch.save

    def fills_the_disk(row, samples):
        monkeypatch.setattr(torch, "save", lambda state, path: save(state, "/dev/full"))

    with pytest.raises(CourseError, match="cannot be written: "):
        RLHFTrainer(small_args(total_phases=1)).train(tmp_path / "run", show=False, watch=fills_the_disk)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["phase_00000.pt"]


def test_a_run_whose_first_checkpoint_failed_is_started_again_in_its_folder(small_args, tmp_path, monkeypatch):
    trainer = RLHFTrainer(small_args(total_phases=1))
    save = torch.save
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda state, path: save(state, "/dev/full"))
        with pytest.raises(CourseError, match="cannot be written: "):
            trainer.train(tmp_path / "run", show=False)
    (tmp_path / "run" / "checkpoints" / "phase_00000.pt.1.a.part").touch()  # of a process that was killed
    trainer.train(tmp_path / "run", show=False)
    assert len(read_run(tmp_path / "run").rows) == 1
    with pytest.raises(CourseError, match="is not empty"):
        RLHFTrainer(small_args(total_phases=1)).train(tmp_path / "run", show=False)


def test_a_folder_with_a_config_of_something_else_is_in_use(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CourseError, match="is not empty"):
        check_free(tmp_path)


def test_a_full_disk_is_named_where_torch_writes(run):
    message = r"cannot be written: No space left on device$"
    with (
        pytest.raises(CourseError, match=message),
        _write_errors(run),
        open("/dev/full", "wb", buffering=0) as file,
    ):
        torch.save({"weights": torch.zeros(100_000)}, file)


def test_files_of_a_process_that_was_killed_while_writing_are_deleted_when_the_run_is_resumed(run):
    from rlhf_course.rl.launch import resume_run

    (run / "checkpoints" / "phase_00002.pt.123.abcd.part").write_text("half")
    resume_run(run)
    assert not list(run.rglob("*.part"))


# Folders that have moved


@pytest.fixture
def course(tiny_folder, tmp_path) -> Path:
    """A course folder with a learner's code, a reward, and a run that was stopped after a phase."""
    import shutil

    from rlhf_course import RLHFArgs, named_reward, use_code
    from rlhf_course.learner_package import imported_answer
    from rlhf_course.paths import SOLUTIONS

    course = tmp_path / "course"
    shutil.copytree(SOLUTIONS / "part1_rlhf", course / "notebooks" / "part1_rlhf")
    use_code(course / "notebooks")
    settings = {"base_model": str(tiny_folder), "batch_size": 6, "num_minibatches": 3, "gen_len": 5}
    args = RLHFArgs(total_phases=2, warmup_steps=0, reward_fn=named_reward("periods"), **settings)
    trainer = imported_answer("RLHFTrainer")(args)
    trainer.train(course / "runs" / "run", show=False, watch=lambda row, samples: trainer.stop())
    use_code()
    return course


def test_a_run_is_resumed_after_its_course_folder_was_renamed(course, tmp_path):
    from rlhf_course.rl.launch import resume_run

    moved = course.rename(tmp_path / "kurs")
    resume_run(moved / "runs" / "run")
    config = read_run(moved / "runs" / "run").config
    assert config["code"] == str(moved / "notebooks") and len(read_run(moved / "runs" / "run").rows) == 2


def test_the_code_of_a_run_that_has_moved_alone_can_be_named(course, tmp_path, monkeypatch, capsys):
    from rlhf_course.cli import main

    run = (course / "runs" / "run").rename(tmp_path / "run")
    moved = course.rename(tmp_path / "elsewhere")
    for options, code in (([], 2), (["--code", str(moved / "notebooks")], 0)):
        monkeypatch.setattr("sys.argv", ["rlhf-course", "train", "--resume", str(run), *options])
        with pytest.raises(SystemExit) as exit_:
            main()
        error = capsys.readouterr().err
        assert (exit_.value.code or 0) == code
        assert bool(options) or ("is no longer in" in error and "--code" in error)
    assert read_run(run).config["code"] == str(moved / "notebooks")
