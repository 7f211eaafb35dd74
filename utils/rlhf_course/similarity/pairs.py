"""Pairs of submissions whose answers are near-copies in what is their own."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from rlhf_course.building.bank import bank_file
from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY
from rlhf_course.similarity.normal import anonymous, normal_lines, tokens
from rlhf_course.stubs import stub_of

# What is alike in two answers counts from here on, and from so many tokens of their own on.
ALIKE = 0.8
OWN_TOKENS = 25
# A statement that more than this share of the class writes is common property.
_COMMON_SHARE, _COMMON_LEAST = 0.2, 3
_BLOCK = 512
# Letters that stand for tokens: the planes of Unicode beyond the first.
_FIRST, _LETTERS = 0x10000, 0x100000


@dataclass(frozen=True)
class Match:
    """One exercise in which two answers are alike.

    Attributes:
        alike: how much of what is their own is the same, 0 to 1.
        own: tokens that are the two learners' own, in the shorter answer.
        left, right: the texts.
    """

    exercise: str
    alike: float
    own: int
    left: str
    right: str


@dataclass(frozen=True)
class Pair:
    """Two submissions and the exercises in which they are alike, the weightiest first."""

    left: str
    right: str
    matches: tuple[Match, ...]

    @property
    def weight(self) -> float:
        """Tokens that the two share and others do not."""
        return sum(match.alike * match.own for match in self.matches)


def similar_pairs(submissions: Sequence[Submission], root: Path = REPOSITORY) -> list[Pair]:
    """Every pair with a near-copy, the weightiest first.

    Statements of the stub, of the reference and its known variants, and those that many learners write are left out before answers are
    compared, so that a short answer that can be written in one way only makes no pair.

    Args:
        submissions: of one class.
        root: the repository, for the reference.
    """
    matches: dict[tuple[int, int], list[Match]] = defaultdict(list)
    for exercise in EXERCISES:
        for left, right, match in _matches(exercise, submissions, root):
            matches[left, right].append(match)
    pairs = [
        Pair(
            submissions[left].name,
            submissions[right].name,
            tuple(sorted(found, key=lambda match: -match.alike * match.own)),
        )
        for (left, right), found in matches.items()
    ]
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.left, pair.right))


def _matches(exercise: Exercise, submissions: Sequence[Submission], root: Path) -> Iterator[tuple[int, int, Match]]:
    """The near-copies of one exercise, each by the numbers of the two submissions."""
    texts = [submission.files.get(exercise.path, "") for submission in submissions]
    lines = [normal_lines(text, exercise.name) for text in texts]
    common = known_lines(exercise, root) | _common(lines)
    own = [tokens([line for line in one if anonymous(line) not in common]) for one in lines]
    chosen = [number for number, one in enumerate(own) if len(one) >= OWN_TOKENS]
    written = _as_letters([own[number] for number in chosen])
    for first, second, alike in _near(written):
        left, right = chosen[first], chosen[second]
        yield left, right, Match(exercise.name, alike, min(len(own[left]), len(own[right])), texts[left], texts[right])


@cache
def known_lines(exercise: Exercise, root: Path) -> frozenset[str]:
    """Statements that are nobody's own: those of the stub, the reference and its known variants."""
    files = [root / "solutions" / exercise.path, bank_file(root, exercise)]
    texts = [stub_of(exercise), *(path.read_text(encoding="utf-8") for path in files if path.is_file())]
    return frozenset(anonymous(line) for text in texts for line in normal_lines(text, exercise.name))


def _common(lines: Iterable[list[str]]) -> set[str]:
    """Statements that many of the class write."""
    answers = [{anonymous(line) for line in one} for one in lines if one]
    counts = Counter(line for one in answers for line in one)
    most = max(_COMMON_LEAST, _COMMON_SHARE * len(answers))
    return {line for line, count in counts.items() if count > most}


def _as_letters(answers: Sequence[Sequence[str]]) -> list[str]:
    """Each answer as a string with a letter for each token, which is what rapidfuzz compares fastest."""
    letters: dict[str, str] = {}
    return [
        "".join(letters.setdefault(token, chr(_FIRST + len(letters) % _LETTERS)) for token in answer)
        for answer in answers
    ]


def _near(answers: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Numbers of the answers that are alike, each pair once; the table of all pairs is made block by block."""
    for start in range(0, len(answers), _BLOCK):
        block = answers[start : start + _BLOCK]
        table = cdist(
            block, answers[start:], scorer=Indel.normalized_similarity, score_cutoff=ALIKE, dtype=np.float32, workers=-1
        )
        for row, column in zip(*np.nonzero(table), strict=True):
            if column > row:
                yield start + int(row), start + int(column), float(table[row, column])
