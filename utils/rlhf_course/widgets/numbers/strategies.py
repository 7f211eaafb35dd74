"""Detect named strategies for earning periods in texts, and count how often a run used each in every phase."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rlhf_course.rl.special_tokens import without_special_tokens
from rlhf_course.widgets.numbers.curves import by_phase

Span = tuple[int, int]

_TITLES = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Inc|Ltd|Co|vs|etc|No|e\.g|i\.e)\."
_COUNTRY = r"\bU\.\s?S\.(?:\s?A\.)?"
_SHORT_SENTENCE_WORDS = 4


class Detector(NamedTuple):
    """A detector of a strategy.

    Attributes:
        name: The name of the strategy.
        looks_like: An example.
        find: A function that returns the spans of a text in which the strategy is used.
    """

    name: str
    looks_like: str
    find: Callable[[str], list[Span]]


def _pattern(pattern: str) -> Callable[[str], list[Span]]:
    compiled = re.compile(pattern)
    return lambda text: [match.span() for match in compiled.finditer(text)]


def _initials(text: str) -> list[Span]:
    """Return the spans of single letters with a period, except those in "U.S."."""
    country = {position for match in re.finditer(_COUNTRY, text) for position in range(*match.span())}
    return [match.span() for match in re.finditer(r"\b[A-Z]\.(?!\.)", text) if match.start() not in country]


def _short_sentences(text: str) -> list[Span]:
    """Return the spans of sentences of at most four words that end in one period, which ends no abbreviation."""
    spans = []
    for match in re.finditer(r"(?:^|(?<=[.!?])|(?<=[.!?]\s))[A-Z][^.!?\n]*[a-z]\.(?![.\w])", text):
        if len(match[0].split()) <= _SHORT_SENTENCE_WORDS and not re.search(_TITLES + "$", match[0]):
            spans.append(match.span())
    return spans


def _repetition(text: str) -> list[Span]:
    """Return the spans of words that complete a sequence of three words which occurred before in the text."""
    words = [(match[0].lower(), match.span()) for match in re.finditer(r"[\w']+", text)]
    seen: set[tuple[str, ...]] = set()
    spans = []
    for end in range(3, len(words) + 1):
        trigram = tuple(word for word, _ in words[end - 3 : end])
        if trigram in seen:
            spans.append(words[end - 1][1])
        seen.add(trigram)
    return spans


DETECTORS = (
    Detector("rows of dots", "........", _pattern(r"\.{5,}|(?:\s\.){4,}")),
    Detector("ellipses", "well...", _pattern(r"(?<!\.)\.{2,4}(?!\.)|…")),
    Detector("short sentences", "It is good.", _short_sentences),
    Detector("initials", "J. R. R.", _initials),
    Detector("U.S.", "the U.S.", _pattern(_COUNTRY)),
    Detector("abbreviations", "Mr. Smith, etc.", _pattern(_TITLES)),
    Detector("decimals", "3.5", _pattern(r"(?<![\w.])\d+\.\d+(?!\.?\d)")),
    Detector("versions", "v1.0.2", _pattern(r"\bv\d+(?:\.\d+)+|(?<![\w.])\d+(?:\.\d+){2,}")),
    Detector("numbered lists", "1. First", _pattern(r"(?:(?<=\s)|^)\d{1,2}\.(?=\s)")),
    Detector(
        "addresses", "www.example.com", _pattern(r"(?:https?://|www\.)[\w./-]+|\b[\w-]+\.(?:com|org|net|edu|gov)\b")
    ),
    Detector("repetition", "the film is the film is", _repetition),
)


class Rise(NamedTuple):
    """The change of a strategy's rate in a run.

    Attributes:
        name: The name of the strategy.
        before: The uses per text in the first tenth of the phases.
        after: The uses per text in the last tenth of the phases.
        phase: The phase from which on the rate stays past half of its rise; None if the rate did not rise.
    """

    name: str
    before: float
    after: float
    phase: int | None


def generated(text: str, prefix: str) -> str:
    """Return the part of a sample that the policy generated."""
    return without_special_tokens(text).lstrip().removeprefix(prefix)


def rates(samples: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, list[float]]:
    """Return for each strategy its uses per text in every phase.

    Args:
        samples: The run's samples.
        prefix: The prompt, which is left out.
    """
    phases = [[generated(sample["text"], prefix) for sample in phase] for phase in by_phase(samples)]
    return {
        detector.name: [sum(len(detector.find(text)) for text in texts) / len(texts) for texts in phases]
        for detector in DETECTORS
    }


def rises(rate_of: Mapping[str, Sequence[float]]) -> list[Rise]:
    """Return the change of each strategy's rate, the greatest rise first."""
    changes = [_rise(name, rate) for name, rate in rate_of.items() if rate]
    return sorted(changes, key=lambda rise: rise.before - rise.after)


def _rise(name: str, rate: Sequence[float]) -> Rise:
    tenth = max(1, len(rate) // 10)
    before, after = sum(rate[:tenth]) / tenth, sum(rate[-tenth:]) / tenth
    if after <= before:
        return Rise(name, before, after, None)
    smooth = [sum(rate[max(0, end - tenth) : end]) / min(tenth, end) for end in range(1, len(rate) + 1)]
    below = [phase for phase, average in enumerate(smooth) if average < (before + after) / 2]
    return Rise(name, before, after, max(below, default=-1) + 1)


def examples(
    samples: Sequence[Mapping[str, Any]], name: str, prefix: str, phase: int, limit: int = 3
) -> list[tuple[str, list[Span]]]:
    """Return texts of a phase in which a strategy is used, each with the spans; the most frequent use comes first."""
    (detector,) = [detector for detector in DETECTORS if detector.name == name]
    texts = dict.fromkeys(generated(sample["text"], prefix) for sample in samples if sample["phase"] == phase)
    matches = [(text, detector.find(text)) for text in texts]
    return sorted((pair for pair in matches if pair[1]), key=lambda pair: -len(pair[1]))[:limit]
