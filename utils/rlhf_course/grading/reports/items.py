"""Analyse hidden tests as the items of an exam: how hard each is, and whom it separates.

Source: Lord and Novick, Statistical Theories of Mental Test Scores (1968), chapter 15.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_course.grading.results import SubmissionResult


@dataclass(frozen=True)
class Item:
    """A hidden test in a class.

    Attributes:
        exercise: The name of the exercise.
        test: The sentence that the test proves.
        learners: How many learners handed in an answer that the test was run on.
        failed_by: The names of those who did not pass it.
        discrimination: The correlation of passing it with the score in everything else, from -1 to 1; None where all
            learners are alike in one of both.
    """

    exercise: str
    test: str
    learners: int
    failed_by: list[str]
    discrimination: float | None

    @property
    def passed(self) -> int:
        """How many learners passed it."""
        return self.learners - len(self.failed_by)

    @property
    def difficulty(self) -> float:
        """The share of the learners who passed it. Testing theory calls this the item's difficulty: 1 is easy."""
        return self.passed / self.learners

    @property
    def remark(self) -> str:
        """What an instructor should look at; empty if nothing stands out."""
        if self.passed in (0, self.learners):
            return "everybody passes it" if self.passed else "nobody passes it"
        if self.discrimination is not None and self.discrimination < 0:
            return "who passes it does worse elsewhere"
        return ""


def analyse_items(results: Sequence[SubmissionResult]) -> list[Item]:
    """Return the analysis of each hidden test, in the order of the course; an unwritten answer is not counted.

    The correlation leaves out submissions of which something could not be read, since their points are not known.
    """
    taken: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    pairs: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for result in results:
        total = sum(exercise.score for exercise in result.exercises.values())
        for name, exercise in result.exercises.items():
            for test in exercise.tests:
                if test.status in ("missing", "unreadable"):
                    continue
                passed = test.status == "passed"
                taken.setdefault((name, test.name), []).append((result.name, passed))
                if not result.is_unread:
                    rest = total - (test.points if passed else 0)
                    pairs.setdefault((name, test.name), []).append((passed, rest))
    return [
        Item(
            exercise,
            test,
            len(learners),
            [learner for learner, passed in learners if not passed],
            _correlation(pairs.get((exercise, test), [])),
        )
        for (exercise, test), learners in taken.items()
    ]


def _correlation(pairs: Sequence[tuple[bool, float]]) -> float | None:
    passed, rest = zip(*pairs, strict=True) if pairs else ((), ())
    if len(set(passed)) < 2 or len(set(rest)) < 2:
        return None
    return statistics.correlation([float(value) for value in passed], rest)
