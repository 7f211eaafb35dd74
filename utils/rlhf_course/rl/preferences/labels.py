"""Collect a person's labels of pairs in a file: each answer is stored at once, and the last ones can be undone."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.rl.preferences.pairs import Pair

Answer: TypeAlias = Literal["left", "right", "tie"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
SHOWN_TWICE = 10


@dataclass(frozen=True)
class Question:
    """Two completions side by side.

    Attributes:
        pair: The number of the pair.
        left, right: The completions.
        again: Whether the pair is shown for the second time, with its sides exchanged.
    """

    pair: int
    left: str
    right: str
    again: bool = False


class Labelling:
    """The questions of a labelling session, and the answers so far, which the file holds.

    Some pairs are asked twice, with their sides exchanged, so that one's agreement with oneself can be measured.

    Args:
        path: The file of the answers, one JSON object in each line. It is made with the first answer.
        prompt: The text before all completions.
        completions: Each two that stand side by side are a pair.
        repeated: How many pairs are asked twice.

    Raises:
        CourseError: The number of completions is odd, or the file holds the answers to other questions.
    """

    def __init__(self, path: str | Path, prompt: str, completions: Sequence[str], repeated: int = SHOWN_TWICE) -> None:
        if len(completions) % 2 or not completions:
            raise CourseError(f"pairs need an even number of completions, got {len(completions)}")
        self.path, self.prompt = Path(path), prompt
        self.questions = _questions(completions, repeated)
        self.answers: list[Answer] = self._read()

    @property
    def current(self) -> Question | None:
        """The question that is to be answered next; None after the last one."""
        return self.questions[len(self.answers)] if len(self.answers) < len(self.questions) else None

    def answer(self, answer: Answer) -> None:
        """Store the answer to the current question.

        Raises:
            CourseError: It is no answer, all questions are answered, or the file cannot be written.
        """
        if answer not in ANSWERS:
            raise CourseError(f"an answer is {', '.join(ANSWERS)}, got {answer!r}")
        if self.current is None:
            raise CourseError("all pairs are labelled: undo an answer to change it")
        self._write([*self.answers, answer])

    def undo(self) -> None:
        """Take the latest answer back, so that its question is the current one again."""
        if self.answers:
            self._write(self.answers[:-1])

    def pairs(self) -> list[Pair]:
        """Return the pairs whose first answer was no tie, as `pairs.jsonl` holds them."""
        found = []
        for question, answer in zip(self.questions, self.answers, strict=False):
            if not question.again and answer != "tie":
                sides = (question.left, question.right)
                chosen, rejected = sides if answer == "left" else sides[::-1]
                found.append(Pair(self.prompt, chosen, rejected))
        return found

    def agreement_with_oneself(self) -> tuple[int, int]:
        """Return how many of the pairs that were asked twice got the same answer, and how many got two."""
        first: dict[int, Answer] = {}
        same = asked = 0
        for question, answer in zip(self.questions, self.answers, strict=False):
            if question.again:
                asked += 1
                same += answer == _exchanged(first[question.pair])
            else:
                first[question.pair] = answer
        return same, asked

    def agreement_with(self, preferred: Sequence[bool]) -> tuple[int, int]:
        """Return how many pairs got the answer of another labeller, and how many got one that was no tie.

        Args:
            preferred: For each pair, whether the other labeller prefers the completion that was on the left first.
        """
        same = asked = 0
        for question, answer in zip(self.questions, self.answers, strict=False):
            if not question.again and answer != "tie":
                asked += 1
                same += (answer == "left") == bool(preferred[question.pair])
        return same, asked

    def _write(self, answers: list[Answer]) -> None:
        lines = [self._line(number, answer) for number, answer in enumerate(answers)]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        except OSError as error:
            raise CourseError(f"{self.path} cannot be written: {error.strerror}; the answer is not stored") from error
        self.answers = answers

    def _line(self, number: int, answer: Answer) -> dict[str, Any]:
        question = self.questions[number]
        return {"prompt": self.prompt, "left": question.left, "right": question.right, "answer": answer}

    def _read(self) -> list[Answer]:
        if not self.path.exists():
            return []
        try:
            # Completions may hold other characters at which `splitlines` splits.
            lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").split("\n") if line.strip()]
            answers = [line["answer"] for line in lines]
            wanted = [self._line(number, answer) for number, answer in enumerate(answers[: len(self.questions)])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CourseError(f"{self.path} cannot be read: {error}: restore it, or name another file") from error
        if lines != wanted or not set(answers) <= set(ANSWERS):
            raise CourseError(f"{self.path} holds the answers to other pairs: name another file")
        return answers


def _exchanged(answer: Answer) -> Answer:
    """Return the answer that means the same when the sides are exchanged."""
    exchanged: dict[Answer, Answer] = {"left": "right", "right": "left", "tie": "tie"}
    return exchanged[answer]


def _questions(completions: Sequence[str], repeated: int) -> list[Question]:
    """Return all pairs in order, and some once more in the second half, at least several questions later."""
    first = [
        Question(pair, left, right)
        for pair, (left, right) in enumerate(zip(completions[0::2], completions[1::2], strict=True))
    ]
    again = random.Random(0).sample(first, min(repeated, len(first)))
    return first + [Question(question.pair, question.right, question.left, again=True) for question in again]
