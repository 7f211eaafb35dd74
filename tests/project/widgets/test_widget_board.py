"""Training that is watched, and the board that watches it; no browser and no kernel."""

import asyncio
import json
import re
import threading
from types import SimpleNamespace

import pytest
from part1_rlhf import RLHFTrainer

from rlhf_course.errors import CourseError
from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets import training
from rlhf_course.widgets.advantage_picture import advantage_picture
from rlhf_course.widgets.board import board_of_folder, board_of_trainer
from rlhf_course.widgets.dashboard import dashboard
from rlhf_course.widgets.face import Face
from rlhf_course.widgets.gallery import gallery
from rlhf_course.widgets.kl_explorer import kl_explorer
from rlhf_course.widgets.objective_explorer import objective_explorer
from rlhf_course.widgets.scoring import Scorer


@pytest.fixture
def watched(small_args, tmp_path):
    """Makes a trainer, its board and its training, which has not begun."""

    def make(**overrides):
        trainer = RLHFTrainer(small_args(**overrides))
        board = board_of_trainer(trainer, tmp_path / "run")
        board.training = training.Training(trainer, board.path, board.add_phase, board.end)
        board.face = Face(board)
        return trainer, board

    return make


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, tiny_folder):
    """A run of three phases, in its folder."""
    from rlhf_course import RLHFArgs, named_reward

    path = tmp_path_factory.mktemp("runs") / "short"
    settings = {"total_phases": 3, "warmup_steps": 0, "batch_size": 12, "num_minibatches": 3, "gen_len": 7}
    RLHFTrainer(RLHFArgs(base_model=str(tiny_folder), reward_fn=named_reward("periods"), **settings)).train(
        path, show=False
    )
    return path


class Gate:
    """Holds a run in its reward function until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, texts):
        import torch

        if len(texts) > 2:
            self.reached.set()
            assert self.open.wait(60)
        return torch.tensor([float(text.count("e")) for text in texts])


def test_a_watched_run_ends_with_every_phase_on_its_board(watched):
    trainer, board = watched()
    board.training.start()
    asyncio.run(board.training.finished())
    assert board.training.status == training.FINISHED
    assert board.training.folder.rows == board.rows and len(board.rows) == trainer.args.total_phases
    assert "Finished: 3 of 3 phases" in board.face.words.value
    assert 'role="img"' in board.face.image.value and "<svg" in board.face.image.value
    assert board.face.table.value.count("<tr>") == 5  # a heading and four samples


def test_stop_keeps_the_run_and_says_how_to_go_on(watched):
    gate = Gate()
    _, board = watched(total_phases=500, reward_fn=gate)
    board.training.start()
    assert gate.reached.wait(60)
    board.face.stop.click()
    assert board.training.status == training.STOPPING and board.face.stop.disabled
    gate.open.set()
    asyncio.run(board.training.finished())
    assert board.training.status == training.STOPPED
    assert len(read_run(board.path).rows) == 1
    assert "--resume" in board.face.words.value


def test_a_paused_run_does_nothing_until_it_is_resumed(watched):
    gate = Gate()
    trainer, board = watched(reward_fn=gate)
    board.training.start()
    assert gate.reached.wait(60)
    board.face.pause.click()
    gate.open.set()
    assert board.training.status == training.PAUSED and not board.face.resume.disabled and board.face.pause.disabled
    board.training._thread.join(0.3)
    assert not board.training.has_ended and trainer.step <= 1
    board.face.resume.click()
    asyncio.run(board.training.finished())
    assert board.training.status == training.FINISHED


def test_a_stop_before_the_run_has_begun_still_stops_it(watched):
    _, board = watched(total_phases=500)
    board.training.stop()
    board.training.start()
    asyncio.run(board.training.finished())
    assert board.training.status == training.STOPPED and len(board.rows) <= 1


def test_interrupting_the_wait_stops_the_run_and_keeps_it(watched):
    gate = Gate()
    _, board = watched(total_phases=500, reward_fn=gate)
    board.training.start()
    assert gate.reached.wait(60)

    async def interrupted():
        waiting = asyncio.create_task(board.training.finished())
        await asyncio.sleep(0)
        gate.open.set()
        waiting.cancel()
        await waiting

    asyncio.run(interrupted())
    assert board.training.status == training.STOPPED and board.training.folder.rows


def test_a_run_that_fails_says_why_on_its_board(watched):
    def broken(texts):
        raise KeyError("no such word")

    _, board = watched(reward_fn=broken)
    board.training.start()
    asyncio.run(board.training.finished())
    assert board.training.status == training.FAILED
    assert "KeyError" in board.face.words.value and "no such word" in board.face.words.value


def test_a_board_that_cannot_draw_leaves_the_run_alone(watched, monkeypatch):
    _, board = watched()
    monkeypatch.setattr(board, "_take_turns", lambda: 1 / 0)
    board.training.start()
    asyncio.run(board.training.finished())
    assert board.training.status == training.FINISHED


def test_a_finished_run_is_shown_from_its_folder(finished_run):
    board = board_of_folder(finished_run)
    board.face = Face(board)
    board.show_all()
    assert "3 of 3 phases" in board.face.words.value
    assert "surprise" in board.face.table.value and "reward" in board.face.table.value
    assert board.face.phase.max == 2 and not board.face.phase.disabled
    newest = board.face.table.value
    board.face.phase.value = 0
    assert "Phase 0" in board.face.table.value and board.face.table.value != newest


def test_an_earlier_run_is_drawn_beside_the_one_that_trains(watched, finished_run):
    _, board = watched()
    board.path = finished_run.parent / "mine"
    assert board.others() == ["short"]
    board.compare(["short"])
    assert "short" in board.face.image.value


def test_tokens_are_scored_by_the_runs_own_reference_and_reward(finished_run):
    run = read_run(finished_run)
    scorer = Scorer.of_config(run.config)
    texts = scorer.score(run.samples[:5])
    for text, sample in zip(texts, run.samples, strict=False):
        assert text.prompt + "".join(token.text for token in text.tokens) == sample["text"].removeprefix(
            "<|endoftext|>"
        )
        assert text.prompt == run.config["args"]["prefix"]
        assert sum(token.gain for token in text.tokens) == pytest.approx(sample["reward"])
        canonical = len(scorer.tokenizer.encode(sample["text"])) == 1 + 7 + len(scorer.tokenizer.encode("This is"))
        if canonical:  # cut as it was sampled, so the record knows the sum
            assert -sum(token.surprise for token in text.tokens) == pytest.approx(sample["ref_logprob"], abs=0.05)


def test_a_run_whose_model_is_gone_is_still_shown_and_says_why_it_has_no_colours(finished_run, tmp_path):
    import shutil

    copy = tmp_path / "moved"
    shutil.copytree(finished_run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["args"]["base_model"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    board = board_of_folder(copy)
    board.face = Face(board)
    board.show_all()
    assert "Without colours" in board.face.table.value and "gone" in board.face.table.value


def test_what_is_saved_of_a_board_is_a_picture_with_words_and_the_samples(finished_run):
    board = board_of_folder(finished_run)
    board.display()
    kept = board._kept(board._picture()).bundle()
    (alt,) = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,', kept["text/html"])
    assert "Six plots of short" in alt and alt in kept["text/plain"]
    assert "Phase 2: the text with the largest reward" in kept["text/plain"] and "surprise" in kept["text/html"]
    assert "<script" not in kept["text/html"]


def test_outside_a_notebook_every_widget_is_text(finished_run, capsys):
    kl_explorer()
    advantage_picture()
    objective_explorer()
    gallery(finished_run)
    dashboard(folder=finished_run)
    shown = capsys.readouterr().out
    assert "KL(target || fit) = 4.123 nats" in shown
    assert "+0.30" in shown
    assert "The gradient is zero above 1.20" in shown
    assert "ellipses" in shown
    assert "Read from" in shown and "3 of 3 phases" in shown


def test_the_gallery_of_a_run_without_phases_says_what_it_needs(finished_run, tmp_path):
    (tmp_path / "config.json").write_text((finished_run / "config.json").read_text())
    with pytest.raises(CourseError, match="at least one finished phase"):
        gallery(tmp_path)
    with pytest.raises(CourseError, match=r"no config\.json"):
        gallery(tmp_path / "nowhere")


def test_the_advantage_picture_asks_for_what_it_lacks():
    with pytest.raises(CourseError, match="tokenizer"):
        advantage_picture(SimpleNamespace(sample_ids=[]))
    with pytest.raises(CourseError, match="prefix_len takes 1 to 4"):
        advantage_picture(prefix_len=7)
