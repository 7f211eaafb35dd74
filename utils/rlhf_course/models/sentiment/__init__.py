"""The embedded sentiment classifier: a small, quick stand-in for a DistilBERT, for rewards without a network.

A logistic regression on hashed words and word pairs. Its weights lie beside this file; README.md here says where they come
from and how well they do.
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

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

FOLDER = Path(__file__).parent
BUCKETS = 2**19
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|!")
NEGATION = re.compile(r"not|no|never|nor|without|hardly|cannot|lacks?|nothing|neither|[a-z]+n't")
CLAUSE_END = re.compile(r"[.;:!?,]| but ")
SCOPE = 3  # words after a negation that count as negated


@lru_cache(maxsize=200_000)
def bucket(feature: str) -> int:
    """Place of a feature in the weight table: the same in every process."""
    return zlib.crc32(feature.encode()) % BUCKETS


def features(text: str) -> list[str]:
    """Distinct words, with `not_` before the negated ones, and distinct word pairs within a clause."""
    found: dict[str, None] = {}
    text = re.sub(r"<[^>]{1,20}>", " ", text.lower().replace("\u2019", "'"))
    for clause in CLAUSE_END.split(text):
        words = WORD.findall(clause)
        negated = 0
        for i, word in enumerate(words):
            found["not_" + word if negated else word] = None
            if i:
                found[words[i - 1] + " " + word] = None
            negated = SCOPE if NEGATION.fullmatch(word) else max(0, negated - 1)
    return list(found)


@dataclass(frozen=True)
class SentimentModel:
    """P(positive) = sigmoid(bias + sum of the weights of a text's features / sqrt(their number + `steadiness`)).

    `steadiness` keeps a text of few words near even odds.
    """

    weights: Float[np.ndarray, buckets]
    bias: float
    steadiness: float

    def logit(self, text: str) -> float:
        """Log-odds that one text is positive."""
        found = features(text)
        total = float(self.weights[[bucket(f) for f in found]].sum()) if found else 0.0
        return self.bias + total / math.sqrt(len(found) + self.steadiness)

    def positive_probability(self, texts: list[str]) -> Float[Tensor, "batch"]:
        """Probability that each text is positive; 0.5 or near it for texts that say nothing.

        Args:
            texts: any strings, empty ones included.
        Returns:
            float32 tensor, one number in (0, 1) a text.
        """
        import torch

        return torch.tensor([self.logit(text) for text in texts], dtype=torch.float32).sigmoid()


@lru_cache(maxsize=1)
def load_sentiment(path: Path = FOLDER / "weights.safetensors") -> SentimentModel:
    """The shipped classifier."""
    from safetensors.numpy import load_file

    stored = load_file(path)
    bias, steadiness = stored["constants"].tolist()
    return SentimentModel(stored["weights"].astype(np.float32), bias, steadiness)
