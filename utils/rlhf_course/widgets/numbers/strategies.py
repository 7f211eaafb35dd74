"""Named ways to earn periods, found in texts by simple detectors, and how often a run used each in every phase."""

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
    """A strategy: what it is called, what it looks like, and how it is found."""

    name: str
    looks_like: str
    find: Callable[[str], list[Span]]


def _pattern(pattern: str) -> Callable[[str], list[Span]]:
    compiled = re.compile(pattern)
    return lambda text: [match.span() for match in compiled.finditer(text)]


def _initials(text: str) -> list[Span]:
    """Single letters with a period, but for those of the country."""
    country = {position for match in re.finditer(_COUNTRY, text) for position in range(*match.span())}
    return [match.span() for match in re.finditer(r"\b[A-Z]\.(?!\.)", text) if match.start() not in country]


def _short_sentences(text: str) -> list[Span]:
    """Sentences of at most four words that end in one period, which is not that of an abbreviation."""
    spans = []
    for match in re.finditer(r"(?:^|(?<=[.!?])|(?<=[.!?]\s))[A-Z][^.!?\n]*[a-z]\.(?![.\w])", text):
        if len(match[0].split()) <= _SHORT_SENTENCE_WORDS and not re.search(_TITLES + "$", match[0]):
            spans.append(match.span())
    return spans


def _repetition(text: str) -> list[Span]:
    """Words that complete a sequence of three words which the text has had before."""
    words = [(match[0].lower(), match.span()) for match in re.finditer(r"[\w']+", text)]
    seen, spans = set(), []
    for end in range(3, len(words) + 1):
        three = tuple(word for word, _ in words[end - 3 : end])
        if three in seen:
            spans.append(words[end - 1][1])
        seen.add(three)
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
    """How a strategy fared in a run.

    Attributes:
        name: the strategy's.
        before, after: uses a text in the first and in the last tenth of the phases.
        phase: the phase from which on more than half of the change had come; None where it did not rise.
    """

    name: str
    before: float
    after: float
    phase: int | None


def generated(text: str, prefix: str) -> str:
    """The part of a sample that the policy wrote."""
    return without_special_tokens(text).lstrip().removeprefix(prefix)


def rates(samples: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, list[float]]:
    """Uses of each strategy, a text, for every phase."""
    phases = [[generated(sample["text"], prefix) for sample in some] for some in by_phase(samples)]
    return {
        one.name: [sum(len(one.find(text)) for text in texts) / len(texts) for texts in phases] for one in DETECTORS
    }


def rises(rate_of: Mapping[str, Sequence[float]]) -> list[Rise]:
    """What became of each strategy, the greatest rise first."""
    found = [_rise(name, rate) for name, rate in rate_of.items() if rate]
    return sorted(found, key=lambda rise: rise.before - rise.after)


def _rise(name: str, rate: Sequence[float]) -> Rise:
    tenth = max(1, len(rate) // 10)
    before, after = sum(rate[:tenth]) / tenth, sum(rate[-tenth:]) / tenth
    if after <= before:
        return Rise(name, before, after, None)
    smooth = [sum(rate[max(0, end - tenth) : end]) / min(tenth, end) for end in range(1, len(rate) + 1)]
    below = [phase for phase, now in enumerate(smooth) if now < (before + after) / 2]
    return Rise(name, before, after, max(below, default=-1) + 1)


def examples(
    samples: Sequence[Mapping[str, Any]], name: str, prefix: str, phase: int, most: int = 3
) -> list[tuple[str, list[Span]]]:
    """Texts of a phase in which a strategy is used, most used first, each with where it is used."""
    (detector,) = [one for one in DETECTORS if one.name == name]
    texts = dict.fromkeys(generated(sample["text"], prefix) for sample in samples if sample["phase"] == phase)
    found = [(text, detector.find(text)) for text in texts]
    return sorted((pair for pair in found if pair[1]), key=lambda pair: -len(pair[1]))[:most]
