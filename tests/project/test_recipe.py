"""Tests of the recipe of the shipped models, on a few sentences."""

import csv
import json
import random

import numpy as np
import pytest
import torch

from recipes.prompts import NEUTRAL_OPENINGS, draw_review
from recipes.sentiment import (
    FILM_WORDS,
    Settings,
    Teacher,
    as_probabilities,
    calibration,
    corrected,
    fit,
    read_film_openings,
    read_film_words,
    with_film_words,
)
from recipes.train import SECOND_PEAK, Run
from rlhf_course.models.sentiment import BUCKETS, SentimentModel, bucket, features
from rlhf_course.rl.models import EMBEDDED


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder WORK after the steps `corpus` and `tokenizer`, with a few sentences."""
    folder = tmp_path_factory.mktemp("work")
    texts = [
        f"This is the story of number {i}. There is a cat in it. The cat sees {i} dogs and goes home."
        for i in range(60)
    ]
    documents = [
        {"source": "written-prose", "doc": str(i), "held_out": i < 9, "label": None, "text": t}
        for i, t in enumerate(texts)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    (folder / "corpus.json").write_text(json.dumps([{"source": "written-prose", "share": 1.0}]))
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
    run.log_losses([run.train_step()])
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
    for parameter, expected in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(parameter, expected)
    assert run.train_step() == pytest.approx(again.train_step(), rel=1e-3)


def test_half_of_the_openings_of_reviews_do_not_give_the_label_away():
    request = draw_review(random.Random(1), copies=400, label=0)
    neutral = sum(opening in NEUTRAL_OPENINGS for opening in request.openings)
    assert 150 < neutral < 250


@pytest.fixture
def teacher(tmp_path) -> Teacher:
    """A teacher of 300 reviews whose states differ along one direction; the first 30 contradict their labels."""
    rng = np.random.default_rng(0)
    truth, axis = rng.integers(0, 2, 300), np.eye(23)[3]
    np.savez(
        tmp_path / "verdicts.npz",
        reviews=np.array([f"all in all {'lovely' if side else 'awful'}" for side in truth]),
        labels=np.concatenate([1 - truth[:30], truth[30:]]),
        passages=np.repeat(np.array(["awful", "lovely"])[truth], 2),
        states=rng.normal(size=(600, 23)) + np.outer(2 * np.repeat(truth, 2) - 1, 2 * axis),
    )
    return Teacher(tmp_path / "verdicts.npz", Settings())


def test_the_teacher_overrules_a_label_that_the_text_contradicts(teacher):
    truth = np.array([passage == "lovely" for passage in teacher.passages])
    assert ((teacher.verdicts > 0) == truth).mean() > 0.9
    assert ((teacher.verdicts[:60] > 0) == truth[:60]).mean() > 0.85


def test_the_teacher_judges_texts_that_it_has_not_read_whatever_their_states_are_centred_on(teacher):
    rng = np.random.default_rng(5)
    truth, axis = rng.integers(0, 2, 200), np.eye(23)[3]
    verdicts = teacher.judge(9 + rng.normal(size=(200, 23)) + np.outer(2 * truth - 1, 2 * axis))
    assert ((verdicts > 0) == truth).mean() > 0.9


def test_the_classifier_learns_what_the_teacher_says(teacher):
    settings = Settings(steps=40)
    model = fit(settings, np.zeros(BUCKETS), np.zeros((BUCKETS, 1), np.float32), teacher)
    assert model.logit("lovely") > 0.3 and model.logit("awful") < -0.3


def test_every_entry_of_the_list_of_film_words_stands_once_and_can_be_met_in_a_text():
    lines = [line for line in FILM_WORDS.read_text().splitlines() if not line.startswith("#")]
    words = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(words) == len(set(words)) > 1000
    assert [word for word in words if word not in features(f"it {word} it")] == []
    assert all(-3 <= float(line.rsplit(" ", 1)[1]) <= 3 for line in lines)


def test_the_list_is_added_to_what_was_learned_and_turns_round_where_it_is_negated():
    settings = Settings(film=2.0, scale=2.0, level=0.0, offset=0.1)
    learned = SentimentModel(np.zeros(BUCKETS, np.float32), 0.6, steadiness=4.0)
    film = read_film_words(settings)
    model = as_probabilities(with_film_words(learned, film, settings), settings)
    assert model.bias == pytest.approx(0.4)
    assert model.weights[bucket("superb")] == pytest.approx(film[bucket("superb")]) and film[bucket("superb")] > 0
    assert film[bucket("not_superb")] == pytest.approx(settings.negated * film[bucket("superb")])
    assert model.logit("A superb film.") > model.logit("A film.") > model.logit("A boring film.")


def test_the_openings_are_as_often_praise_as_complaint_and_each_stands_once():
    openings = read_film_openings()
    texts = [text for text, _ in openings]
    assert len(texts) == len(set(texts)) > 1000
    assert np.mean([label for _, label in openings]) == pytest.approx(0.5, abs=0.01)
    assert all(30 <= len(text.split()) <= 55 and text.isascii() for text in texts)


def test_openings_correct_what_was_learned_and_are_held_back_by_it(teacher):
    settings = Settings(steps=60, kept=0.0, scale=1.0, level=0.0, offset=0.0)
    before = np.zeros(BUCKETS, np.float32)
    before[bucket("weepie")] = 1.0
    openings = [("weepie", 0), ("romp", 1)] * 20
    model = corrected(SentimentModel(before, 0.0, 4.0), settings, np.zeros((BUCKETS, 1), np.float32), teacher, openings)
    assert model.logit("weepie") < model.logit("") < model.logit("romp")
    held = corrected(
        SentimentModel(before, 0.0, 4.0),
        Settings(steps=60, kept=1.0),
        np.zeros((BUCKETS, 1), np.float32),
        teacher,
        openings,
    )
    assert held.weights == pytest.approx(model.weights + before, abs=1e-5)


def test_calibration_turns_scores_into_log_odds():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(3 * raw - 1)))).astype(float)
    assert calibration(raw, labels) == pytest.approx((3, -1), abs=0.15)
