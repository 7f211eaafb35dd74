"""Define and load the embedded sentiment classifier, which replaces a DistilBERT where there is no network.

It is a logistic regression on hashed words and word pairs. Its weights are in this folder; README.md describes their
origin and accuracy.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FOLDER = Path(__file__).parent
BUCKETS = 2**19
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|!")
NEGATION = re.compile(r"not|no|never|nor|without|hardly|cannot|lacks?|nothing|neither|[a-z]+n't")
CLAUSE_END = re.compile(r"[.;:!?,]| but ")
SCOPE = 3  # number of words after a negation that count as negated


@lru_cache(maxsize=200_000)
def bucket(feature: str) -> int:
    """Return a feature's index in the weights, which is the same in every process."""
    return zlib.crc32(feature.encode()) % BUCKETS


def features(text: str) -> list[str]:
    """Return a text's distinct words, with `not_` before negated ones, and its distinct word pairs within a clause."""
    distinct: dict[str, None] = {}
    text = re.sub(r"<[^>]{1,20}>", " ", text.lower().replace("\u2019", "'"))
    for clause in CLAUSE_END.split(text):
        words = WORD.findall(clause)
        negated = 0
        for index, word in enumerate(words):
            distinct["not_" + word if negated else word] = None
            if index:
                distinct[words[index - 1] + " " + word] = None
            negated = SCOPE if NEGATION.fullmatch(word) else max(0, negated - 1)
    return list(distinct)


@dataclass(frozen=True)
class SentimentModel:
    """P(positive) = sigmoid(bias + sum of the weights of a text's features / sqrt(their number + `steadiness`)).

    `steadiness` keeps the probability of a text of few words near 0.5.
    """

    weights: Float[np.ndarray, "buckets"]
    bias: float
    steadiness: float

    def logit(self, text: str) -> float:
        """Return the log-odds that a text is positive."""
        names = features(text)
        total = float(self.weights[[bucket(name) for name in names]].sum()) if names else 0.0
        return self.bias + total / math.sqrt(len(names) + self.steadiness)

    def positive_probability(self, texts: list[str]) -> Float[Tensor, "batch"]:
        """Return the probability that each text is positive, which is near 0.5 for texts without sentiment.

        Args:
            texts: Any strings, empty ones included.

        Returns:
            A float32 tensor with a number in (0, 1) for each text.
        """
        import torch  # deferred: the recipe trains the classifier without torch

        return torch.tensor([self.logit(text) for text in texts], dtype=torch.float32).sigmoid()


@lru_cache(maxsize=1)
def load_sentiment(path: Path = FOLDER / "weights.safetensors") -> SentimentModel:
    """Load the classifier that ships with the course."""
    tensors = load_file(path)
    bias, steadiness = tensors["constants"].tolist()
    return SentimentModel(tensors["weights"].astype(np.float32), bias, steadiness)
