"""How varied a run's texts are, phase by phase: mode collapse as a curve."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_course.widgets.numbers.curves import by_phase
from rlhf_course.widgets.numbers.strategies import generated

SIZES = (1, 2, 3)
# A row of dots is many words, so that a text of nothing else counts as a repetition and not as one long, new word.
_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def distinct(texts: Sequence[str], size: int) -> float:
    """The share of n-grams that differ from each other, over all texts together; 1 when none comes twice.

    Args:
        texts: each punctuation mark counts as a word.
        size: words in an n-gram.
    """
    words = [_WORD.findall(text) for text in texts]
    grams = [tuple(one[i : i + size]) for one in words for i in range(len(one) - size + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def diversity(samples: Sequence[Mapping[str, Any]], prefix: str) -> dict[int, list[float]]:
    """For each size of n-gram, the share of distinct ones in every phase."""
    phases = [[generated(sample["text"], prefix) for sample in some] for some in by_phase(samples)]
    return {size: [distinct(texts, size) for texts in phases] for size in SIZES}
