"""The dashboard and its training thread, without a browser or a kernel."""

import asyncio
import json
import re
import threading
from types import SimpleNamespace

import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course.errors import CourseError
from rlhf_course.rl.phase_runs import phase_trainer
from rlhf_course.rl.preferences.args import PAIR_RUNS, PairArgs
from rlhf_course.rl.preferences.pairs import Pair
from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets import training
from rlhf_course.widgets.advantage_picture import advantage_picture
from rlhf_course.widgets.dashboard import dashboard
from rlhf_course.widgets.dashboard_model import DashboardModel
from rlhf_course.widgets.dashboard_view import DashboardView
from rlhf_course.widgets.gallery import gallery
from rlhf_course.widgets.kl_explorer import kl_explorer
from rlhf_course.widgets.objective_explorer import objective_explorer
from rlhf_course.widgets.scoring import Scorer


@pytest.fixture
def make_dashboard(small_args, tmp_path):
    """A function that makes a trainer and its dashboard model, whose training has not started."""

    def make(**overrides):
        trainer = RLHFTrainer(small_args(**overrides))
        model = DashboardModel.from_trainer(trainer, tmp_path / "run")
        model.training = training.TrainingThread(trainer, model.path, model.add_phase, model.on_end)
        model.view = DashboardView(model)
        return trainer, model

    return make


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, tiny_folder):
    """The folder of a run of three phases."""
    from rlhf_course import RLHFArgs, named_reward

    path = tmp_path_factory.mktemp("runs") / "short"
    settings = {"total_phases": 3, "warmup_steps": 0, "batch_size": 12, "num_minibatches": 3, "gen_len": 7}
    RLHFTrainer(RLHFArgs(base_model=str(tiny_folder), reward_fn=named_reward("periods"), **settings)).train(
        path, show=False
    )
    return path


class BlockingReward:
    """A reward function that blocks the run until `release` is set."""

    def __init__(self) -> None:
        self.reached, self.release = threading.Event(), threading.Event()

    def __call__(self, texts):
        if len(texts) > 2:
            self.reached.set()
            assert self.release.wait(60)
        return torch.tensor([float(text.count("e")) for text in texts])


def test_a_finished_run_shows_every_phase(make_dashboard):
    trainer, model = make_dashboard()
    model.training.start()
    asyncio.run(model.training.wait())
    assert model.training.status == training.FINISHED
    assert model.training.folder.rows == model.rows and len(model.rows) == trainer.args.total_phases
    assert "Finished: 3 of 3 phases" in model.view.status.value
    assert 'role="img"' in model.view.image.value and "<svg" in model.view.image.value
    assert model.view.table.value.count("<tr>") == 5  # a heading and four samples


class JudgedReward:
    """A reward that also records what a judge thinks of the texts."""

    def __call__(self, texts):
        return torch.tensor([float(text.count("e")) for text in texts])

    def metrics(self, samples):
        return {"gold": -float(len(samples))}


def test_the_judges_reward_is_drawn_beside_the_mean_reward_while_a_run_that_records_it_trains(make_dashboard):
    trainer, model = make_dashboard(reward_fn=JudgedReward())
    shown = []

    def add_phase(row, samples):
        model.add_phase(row, samples)
        model.update_curves()  # the budget may have put it off
        shown.append((model.status, model.view.image.value, model.view.status.value))

    model.training = training.TrainingThread(trainer, model.path, add_phase, model.on_end)
    model.training.start()
    asyncio.run(model.training.wait())
    for status, image, text in shown:
        assert status == training.TRAINING and "gold (the judge)" in image and "gold -12.000" in text
    assert "gold reward beside the reward: -12 to -12" in shown[-1][1]
    _, other = make_dashboard()
    other.compare([model.path.name])
    assert "gold of run" in other.view.image.value


def test_stop_keeps_the_run_and_shows_the_command_that_continues_it(make_dashboard):
    reward_fn = BlockingReward()
    _, model = make_dashboard(total_phases=500, reward_fn=reward_fn)
    model.training.start()
    assert reward_fn.reached.wait(60)
    model.view.stop.click()
    assert model.training.status == training.STOPPING and model.view.stop.disabled
    reward_fn.release.set()
    asyncio.run(model.training.wait())
    assert model.training.status == training.STOPPED
    assert len(read_run(model.path).rows) == 1
    assert "--resume" in model.view.status.value


def test_a_paused_run_does_nothing_until_it_is_resumed(make_dashboard):
    reward_fn = BlockingReward()
    trainer, model = make_dashboard(reward_fn=reward_fn)
    model.training.start()
    assert reward_fn.reached.wait(60)
    model.view.pause.click()
    reward_fn.release.set()
    assert model.training.status == training.PAUSED and not model.view.resume.disabled and model.view.pause.disabled
    model.training._thread.join(0.3)
    assert not model.training.has_ended and trainer.step <= 1
    model.view.resume.click()
    asyncio.run(model.training.wait())
    assert model.training.status == training.FINISHED


def test_a_stop_before_the_run_has_begun_still_stops_it(make_dashboard):
    _, model = make_dashboard(total_phases=500)
    model.training.stop()
    model.training.start()
    asyncio.run(model.training.wait())
    assert model.training.status == training.STOPPED and len(model.rows) <= 1


def test_interrupting_the_wait_stops_the_run_and_keeps_it(make_dashboard):
    reward_fn = BlockingReward()
    _, model = make_dashboard(total_phases=500, reward_fn=reward_fn)
    model.training.start()
    assert reward_fn.reached.wait(60)

    async def interrupted():
        waiting = asyncio.create_task(model.training.wait())
        await asyncio.sleep(0)
        reward_fn.release.set()
        waiting.cancel()
        await waiting

    asyncio.run(interrupted())
    assert model.training.status == training.STOPPED and model.training.folder.rows


def test_the_dashboard_shows_why_a_run_failed(make_dashboard):
    def broken(texts):
        raise KeyError("no such word")

    _, model = make_dashboard(reward_fn=broken)
    model.training.start()
    asyncio.run(model.training.wait())
    assert model.training.status == training.FAILED
    assert "KeyError" in model.view.status.value and "no such word" in model.view.status.value


def test_an_error_of_the_display_does_not_end_the_run(make_dashboard, monkeypatch):
    _, model = make_dashboard()
    monkeypatch.setattr(model, "_redraw_within_budget", lambda: 1 / 0)
    model.training.start()
    asyncio.run(model.training.wait())
    assert model.training.status == training.FINISHED


def test_a_finished_run_is_shown_from_its_folder(finished_run):
    model = DashboardModel.from_folder(finished_run)
    model.view = DashboardView(model)
    model.update_all()
    assert "3 of 3 phases" in model.view.status.value
    assert "surprise" in model.view.table.value and "reward" in model.view.table.value
    assert model.view.phase.max == 2 and not model.view.phase.disabled
    newest = model.view.table.value
    model.view.phase.value = 0
    assert "Phase 0" in model.view.table.value and model.view.table.value != newest


@pytest.mark.parametrize("kind", PAIR_RUNS)
def test_a_run_that_learns_from_pairs_is_shown_from_its_folder(tiny_folder, tmp_path, kind):
    pairs = [Pair("This is", " good." * (1 + number % 3), " a test") for number in range(6)]
    args = PairArgs(base_model=str(tiny_folder), prefix="This is", batch_size=4, warmup_steps=0)
    path = phase_trainer(kind, args, (pairs, pairs[:3])).train(tmp_path / kind, show=False).path
    model = DashboardModel.from_folder(path)
    model.view = DashboardView(model)
    model.update_all()
    assert "4 of 4 phases" in model.view.status.value and "Step 3: loss" in model.view.status.value
    assert "accuracy on held-out pairs" in model.view.image.value and "entropy" not in model.view.image.value
    assert model.view.table.value == ""


def test_an_earlier_run_is_drawn_beside_the_one_that_trains(make_dashboard, finished_run):
    _, model = make_dashboard()
    model.path = finished_run.parent / "mine"
    assert model.other_runs() == ["short"]
    model.compare(["short"])
    assert "short" in model.view.image.value


def test_tokens_are_scored_by_the_runs_own_reference_and_reward(finished_run):
    run = read_run(finished_run)
    scorer = Scorer.from_config(run.config)
    texts = scorer.score(run.samples[:5])
    for text, sample in zip(texts, run.samples, strict=False):
        assert text.prompt + "".join(token.text for token in text.tokens) == sample["text"].removeprefix(
            "<|endoftext|>"
        )
        assert text.prompt == run.config["args"]["prefix"]
        assert sum(token.gain for token in text.tokens) == pytest.approx(sample["reward"])
        canonical = len(scorer.tokenizer.encode(sample["text"])) == 1 + 7 + len(scorer.tokenizer.encode("This is"))
        if canonical:  # the tokenizer splits the text as it was sampled, so the recorded sum is comparable
            assert -sum(token.surprise for token in text.tokens) == pytest.approx(sample["ref_logprob"], abs=0.05)


def test_a_run_whose_model_is_missing_is_shown_with_the_reason_for_missing_colours(finished_run, tmp_path):
    import shutil

    copy = tmp_path / "moved"
    shutil.copytree(finished_run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["args"]["base_model"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    model = DashboardModel.from_folder(copy)
    model.view = DashboardView(model)
    model.update_all()
    assert "Without colours" in model.view.table.value and "gone" in model.view.table.value


def test_the_static_output_of_a_dashboard_is_a_picture_with_alternative_text_and_the_samples(finished_run):
    model = DashboardModel.from_folder(finished_run)
    model.display(DashboardView)
    static = model._static_output(model._draw_curves()).mime_bundle()
    (alt,) = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,', static["text/html"])
    assert "Six plots of short" in alt and alt in static["text/plain"]
    assert "Phase 2: the text with the largest reward" in static["text/plain"] and "surprise" in static["text/html"]
    assert "<script" not in static["text/html"]


def test_outside_a_notebook_every_widget_is_text(finished_run, capsys):
    kl_explorer()
    advantage_picture()
    objective_explorer()
    gallery(finished_run)
    dashboard(folder=finished_run)
    output = capsys.readouterr().out
    assert "KL(target || fit) = 4.123 nats" in output
    assert "+0.30" in output
    assert "The gradient is zero above 1.20" in output
    assert "ellipses" in output
    assert "Read from" in output and "3 of 3 phases" in output


def test_the_gallery_of_a_run_without_phases_names_what_it_needs(finished_run, tmp_path):
    (tmp_path / "config.json").write_text((finished_run / "config.json").read_text())
    with pytest.raises(CourseError, match="at least one finished phase"):
        gallery(tmp_path)
    with pytest.raises(CourseError, match=r"there is no folder .*nowhere: gallery takes a run"):
        gallery(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="takes a run or the path of its folder, got a NoneType"):
        gallery(None)


def test_the_gallery_shows_a_run_that_was_read_as_it_shows_its_folder(finished_run, capsys):
    from rlhf_course.rl.run_folder import read_run

    gallery(finished_run)
    shown = capsys.readouterr().out
    run = read_run(finished_run)
    gallery(run._replace(config={**run.config, "run_name": finished_run.name}))
    assert capsys.readouterr().out == shown


def test_the_advantage_picture_names_the_argument_that_is_missing():
    with pytest.raises(CourseError, match="tokenizer"):
        advantage_picture(SimpleNamespace(sample_ids=[]))
    with pytest.raises(CourseError, match="prefix_len takes 1 to 4"):
        advantage_picture(prefix_len=7)
