"""Compute the diversity of a run's texts in each phase, which falls when the policy collapses to one mode."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_course.widgets.numbers.curves import by_phase
from rlhf_course.widgets.numbers.strategies import generated

SIZES = (1, 2, 3)
# Each dot is a word, so that a text of dots counts as a repetition and not as one long, new word.
_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def distinct(texts: Sequence[str], size: int) -> float:
    """Return the share of distinct n-grams among all n-grams of all texts; 1 if none occurs twice.

    Args:
        texts: The texts; each punctuation mark counts as a word.
        size: The number of words in an n-gram.
    """
    text_words = [_WORD.findall(text) for text in texts]
    ngrams = [tuple(words[start : start + size]) for words in text_words for start in range(len(words) - size + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def openings(texts: Sequence[str], words: int = 2) -> Counter[str]:
    """Count the openings of texts: their first words."""
    return Counter(" ".join(text.split()[:words]) for text in texts)


def diversity(samples: Sequence[Mapping[str, Any]], prefix: str) -> dict[int, list[float]]:
    """Return for each size of n-gram the share of distinct n-grams in every phase.

    Args:
        samples: The run's samples.
        prefix: The prompt, which is left out.
    """
    phases = [[generated(sample["text"], prefix) for sample in phase] for phase in by_phase(samples)]
    return {size: [distinct(texts, size) for texts in phases] for size in SIZES}
