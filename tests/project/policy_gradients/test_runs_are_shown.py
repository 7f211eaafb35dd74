"""Runs on tasks on the dashboard and in the gallery."""

import pytest

from rlhf_course import TaskArgs, load_model
from rlhf_course.rl.phase_runs import phase_trainer
from rlhf_course.widgets.dashboard import dashboard
from rlhf_course.widgets.dashboard_model import DashboardModel
from rlhf_course.widgets.dashboard_view import DashboardView
from rlhf_course.widgets.gallery import gallery

# What the dashboard shows of each kind of run: of its curves, and of its latest phase.
SHOWN = {
    "sft": ("accuracy on held-out prompts", "Step 3: loss"),
    "grpo": ("share of groups that are mixed", "Phase 3: reward"),
    "broken_verifier": ("share that is right", "mixed groups"),
    "expert_iteration": ("different right completions", "kept, entropy"),
}


@pytest.fixture
def run_of(settings, tmp_path):
    """A function that trains a run of some kind."""

    def run(kind):
        args = TaskArgs.for_run(kind, **settings)
        return phase_trainer(kind, args, load_model(settings["base_model"])).train(tmp_path / kind, show=False)

    return run


@pytest.mark.parametrize("kind", SHOWN)
def test_a_run_on_a_task_is_shown_from_its_folder(run_of, kind, capsys):
    folder = run_of(kind)
    model = DashboardModel.from_folder(folder.path)
    model.view = DashboardView(model)
    model.update_all()
    curve, latest = SHOWN[kind]
    assert "4 of 4 phases" in model.view.status.value and latest in model.view.status.value
    assert f"held out {folder.rows[-1]['held_out_accuracy']:.0%} (phase 3)" in model.view.status.value
    assert curve in model.view.image.value and "KL to the reference" not in model.view.image.value
    assert "four texts in five" not in model.view.image.value, "the samples are those of one prompt"
    assert ("=" in model.view.table.value) == (kind != "sft")
    dashboard(folder=folder.path)
    printed = capsys.readouterr().out
    assert "nan to nan" not in printed.replace("loss nan to nan", "") and "plots of" in printed


def test_an_earlier_run_of_another_kind_is_drawn_where_it_has_the_same_metric(run_of):
    paths = [run_of(kind).path for kind in ("grpo", "sft")]
    model = DashboardModel.from_folder(paths[0])
    model.view = DashboardView(model)
    model.compare(["sft"])
    assert "sft" in model.view.image.value


def test_the_gallery_shows_a_run_on_a_task(run_of, capsys):
    gallery(run_of("grpo"))
    assert "numbered lists" in capsys.readouterr().out
