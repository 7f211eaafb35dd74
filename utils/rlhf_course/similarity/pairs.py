"""Find pairs of submissions whose answers are near-copies in the statements that are the learners' own."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from rlhf_course.bank import bank_file
from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY
from rlhf_course.similarity.normalize import anonymize_names, normalized_lines, tokens
from rlhf_course.stubs import stub_of

# Two answers are reported if their similarity is at least this, and each has at least this many tokens of its own.
MIN_SIMILARITY = 0.8
MIN_OWN_TOKENS = 25
# A statement that is in more answers than this share of the class, and than this number, is not a learner's own.
_COMMON_SHARE, _COMMON_COUNT = 0.2, 3
# The number of answers that are compared with all others at once, which limits the memory.
_BLOCK = 512
# Tokens are encoded as characters from the planes of Unicode beyond the first.
_FIRST_CHAR, _CHAR_COUNT = 0x10000, 0x100000


Normalizer = Callable[[Submission, Exercise], list[str]]
"""Returns the normalized lines of a submission's answer to an exercise."""


@dataclass(frozen=True)
class Match:
    """An exercise whose answers in two submissions are near-copies.

    Attributes:
        exercise: The name of the exercise.
        similarity: The similarity of the learners' own tokens, from 0 to 1.
        own_tokens: The number of own tokens in the answer that has fewer of them.
        left: The text of the first answer.
        right: The text of the second answer.
    """

    exercise: str
    similarity: float
    own_tokens: int
    left: str
    right: str

    @property
    def weight(self) -> float:
        """The number of own tokens that the two answers share."""
        return self.similarity * self.own_tokens


@dataclass(frozen=True)
class Pair:
    """Two submissions with near-copies.

    Attributes:
        left: The name of the first submission.
        right: The name of the second submission.
        matches: The exercises with near-copies, by falling weight.
    """

    left: str
    right: str
    matches: tuple[Match, ...]

    @property
    def weight(self) -> float:
        """The number of own tokens that the two submissions share."""
        return sum(match.weight for match in self.matches)


def similar_pairs(
    submissions: Sequence[Submission],
    exercises: Sequence[Exercise] = EXERCISES,
    root: Path = REPOSITORY,
    normalize: Normalizer | None = None,
) -> list[Pair]:
    """Find all pairs of submissions with a near-copy.

    Before answers are compared, the statements of the stub, of the reference, of the answers in the bank, and those
    that many learners write are left out. So two short answers that can be written in one way only are not reported.

    Args:
        submissions: The submissions of a class.
        exercises: The exercises whose answers are compared.
        root: The repository, which holds the reference and the bank.
        normalize: The function that normalizes an answer; by default `normalized_answer`.

    Returns:
        The pairs, by falling weight.
    """
    matches: dict[tuple[int, int], list[Match]] = defaultdict(list)
    for exercise in exercises:
        for left, right, match in _matches(exercise, submissions, root, normalize or normalized_answer):
            matches[left, right].append(match)
    pairs = [
        Pair(
            submissions[left].name,
            submissions[right].name,
            tuple(sorted(pair_matches, key=lambda match: -match.weight)),
        )
        for (left, right), pair_matches in matches.items()
    ]
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.left, pair.right))


def normalized_answer(submission: Submission, exercise: Exercise) -> list[str]:
    """Return the normalized lines of a submission's answer, computed in this process."""
    return normalized_lines(submission.files.get(exercise.path, ""), exercise.name)


def _matches(
    exercise: Exercise, submissions: Sequence[Submission], root: Path, normalize: Normalizer
) -> Iterator[tuple[int, int, Match]]:
    """Yield the near-copies in one exercise, each with the indices of the two submissions."""
    texts = [submission.files.get(exercise.path, "") for submission in submissions]
    answers = [normalize(submission, exercise) for submission in submissions]
    common = known_lines(exercise, root) | _common_lines(answers)
    own = [tokens([line for line in lines if anonymize_names(line) not in common]) for lines in answers]
    compared = [index for index, own_tokens in enumerate(own) if len(own_tokens) >= MIN_OWN_TOKENS]
    strings = _encode([own[index] for index in compared])
    for first, second, similarity in _similar_strings(strings):
        left, right = compared[first], compared[second]
        own_tokens = min(len(own[left]), len(own[right]))
        yield left, right, Match(exercise.name, similarity, own_tokens, texts[left], texts[right])


@cache
def known_lines(exercise: Exercise, root: Path) -> frozenset[str]:
    """Return the anonymized statements of the stub, of the reference and of the exercise's file in the bank."""
    paths = [root / "solutions" / exercise.path, bank_file(root, exercise)]
    texts = [stub_of(exercise), *(path.read_text(encoding="utf-8") for path in paths if path.is_file())]
    return frozenset(anonymize_names(line) for text in texts for line in normalized_lines(text, exercise.name))


def _common_lines(answers: Iterable[list[str]]) -> set[str]:
    """Return the anonymized statements that many of the class write."""
    anonymized = [{anonymize_names(line) for line in lines} for lines in answers if lines]
    counts = Counter(line for lines in anonymized for line in lines)
    limit = max(_COMMON_COUNT, _COMMON_SHARE * len(anonymized))
    return {line for line, count in counts.items() if count > limit}


def _encode(answers: Sequence[Sequence[str]]) -> list[str]:
    """Return each answer as a string with a character for each token, which rapidfuzz compares fastest."""
    chars: dict[str, str] = {}
    return [
        "".join(chars.setdefault(token, chr(_FIRST_CHAR + len(chars) % _CHAR_COUNT)) for token in answer)
        for answer in answers
    ]


def _similar_strings(strings: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Yield the indices and the similarity of all similar pairs, computed in blocks of rows."""
    for start in range(0, len(strings), _BLOCK):
        block = strings[start : start + _BLOCK]
        similarities = cdist(
            block,
            strings[start:],
            scorer=Indel.normalized_similarity,
            score_cutoff=MIN_SIMILARITY,
            dtype=np.float32,
            workers=-1,
        )
        for row, column in zip(*np.nonzero(similarities), strict=True):
            if column > row:
                yield start + int(row), start + int(column), float(similarities[row, column])
