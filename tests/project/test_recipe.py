"""The recipe of the shipped models, on data small enough for a test."""

import csv
import json

import numpy as np
import pytest
import torch
from rlhf_course.models.recipe.prompts import NEUTRAL_OPENINGS, draw_review
from rlhf_course.models.recipe.sentiment import Settings, Teacher, calibration
from rlhf_course.models.recipe.train import SECOND_PEAK, Run
from rlhf_course.rl.models import EMBEDDED


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder as `corpus` and `tokenizer` leave it, with a few sentences."""
    folder = tmp_path_factory.mktemp("work")
    texts = [f"This is the story of number {i}. There is a cat in it. The cat sees {i} dogs and goes home." for i in range(60)]
    documents = [dict(source="written-prose", doc=str(i), held_out=i < 9, label=None, text=t) for i, t in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (folder / "corpus.json").write_text(json.dumps([dict(source="written-prose", share=1.0)]))
    return folder


def losses(folder) -> list[dict[str, str]]:
    with (folder / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_second_cycle_begins_with_the_first_ones_weights_and_goes_on_with_its_curve(work):
    run = Run(work, "second", minutes=1, seed=1, start=EMBEDDED)
    fresh = Run(work, "other", minutes=1, seed=2, start=EMBEDDED)
    assert run.earlier_bits == fresh.measure(60_000)
    assert run.step == int(losses(EMBEDDED)[-1]["step"])
    run.seconds = 30.0
    run.note([run.train_step()])
    assert losses(run.folder)[:-1] == losses(EMBEDDED)
    assert int(losses(run.folder)[-1]["step"]) == run.step == int(losses(EMBEDDED)[-1]["step"]) + 1
    rates = [group["lr"] for optimizer in run.optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([SECOND_PEAK * lr for lrs in run.base_lrs for lr in lrs])


def test_a_stopped_second_cycle_goes_on_where_it_was(work):
    run = Run(work, "stopped", minutes=1, seed=1, start=EMBEDDED)
    run.train_step()
    run.seconds = 12.0
    run.save()
    again = Run(work, "stopped", minutes=1, seed=1, start=EMBEDDED)
    again.resume()
    assert (again.step, again.seconds, again.earlier_bits) == (run.step, 12.0, run.earlier_bits)
    for mine, theirs in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert run.train_step() == pytest.approx(again.train_step(), rel=1e-3)


def test_half_of_the_openings_of_reviews_do_not_give_the_label_away():
    import random

    request = draw_review(random.Random(1), copies=400, label=0)
    neutral = sum(opening in NEUTRAL_OPENINGS for opening in request.openings)
    assert 150 < neutral < 250


@pytest.fixture
def teacher(tmp_path) -> Teacher:
    """Of 600 passages with states along one true direction; the labels of the first 60 are the wrong way round."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    states = rng.normal(size=(600, 23)) + np.outer(2 * truth - 1, np.eye(23)[3]) * 2
    asked = np.concatenate([1 - truth[:60], truth[60:]])
    words = np.stack([-6 * np.eye(23)[3], np.zeros(23), 6 * np.eye(23)[3]])
    np.savez(tmp_path / "verdicts.npz", texts=np.array([f"text {t}" for t in truth]), labels=asked, states=states,
             words=np.array(["awful", "table", "lovely"]), word_states=words)
    return Teacher(tmp_path / "verdicts.npz", Settings())


def test_the_teacher_overrules_labels_that_the_text_contradicts(teacher):
    asked = teacher.labels[:60] == 1
    assert ((teacher.passages[:60] > 0) != asked).mean() > 0.85
    truth = np.array([text == "text 1" for text in teacher.texts])
    assert ((teacher.passages > 0) == truth).mean() > 0.9


def test_the_teacher_orders_words_and_finds_an_ordinary_one_neutral(teacher):
    assert teacher.words["awful"] < -1 < teacher.words["table"] == 0 < 1 < teacher.words["lovely"]


def test_calibration_turns_scores_into_log_odds():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(3 * raw - 1)))).astype(float)
    assert calibration(raw, labels) == pytest.approx((3, -1), abs=0.15)
