"""Define the tasks of part 3: prompts with a training and a held-out split, demonstrations, and what is right."""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.recording import require_result
from rlhf_course.rl.special_tokens import END_OF_TEXT

# One prompt in so many is held out. A prompt's checksum decides, so the splits are the same in every run.
_HELD_OUT_SHARE = 5


@dataclass(frozen=True)
class Task:
    """A task: a prompt is digits and `=`, and a completion of it is right or wrong.

    Attributes:
        name: The name by which settings choose it.
        digits: The least and the most digits of a prompt.
        answer: Returns the right digits of a prompt's digits.
        verify: Returns the reward of a prompt and a completion, whose end-of-text token is written out.
        broken: Returns the reward of a verifier that does not compare the completion with the prompt.
    """

    name: str
    digits: tuple[int, int]
    answer: Callable[[str], str]
    verify: Callable[[str, str], float]
    broken: Callable[[str, str], float]

    def prompts(self, count: int, seed: int, held_out: bool = False) -> list[str]:
        """Return different prompts of a split.

        Args:
            count: The number of prompts.
            seed: Seed of the choice.
            held_out: Whether to return held-out prompts, which no training prompt is equal to.

        Raises:
            CourseError: The split has fewer prompts.
        """
        drawn = (prompt for prompt in self._drawn(seed, 100 * count + 1000) if is_held_out(prompt) == held_out)
        chosen = list(islice(dict.fromkeys(drawn), count))
        if len(chosen) < count:
            split = "held-out" if held_out else "training"
            raise CourseError(f"{self.name} has about {len(chosen)} {split} prompts, fewer than {count}")
        return chosen

    def _drawn(self, seed: int, count: int) -> Iterator[str]:
        generator = random.Random(seed)
        for _ in range(count):
            length = generator.randint(*self.digits)
            yield "".join(generator.choice("0123456789") for _ in range(length)) + "="

    def demonstration(self, prompt: str) -> str:
        """Return the right completion of a prompt, with its end-of-text token."""
        return self.answer(prompt.removesuffix("=")) + END_OF_TEXT

    def is_right(self, prompt: str, completion: str) -> bool:
        """Return whether a completion is right: the course's own verdict, which accuracy is measured by."""
        return completion == self.demonstration(prompt)


def is_held_out(prompt: str) -> bool:
    """Return whether a prompt belongs to the held-out split."""
    return zlib.crc32(prompt.encode()) % _HELD_OUT_SHARE == 0


def _ascending(digits: str) -> str:
    return "".join(digit * digits.count(digit) for digit in "0123456789")


def _even(digits: str) -> str:
    return "".join(digit for digit in digits if digit in "02468")


def _verify_sorted(prompt: str, completion: str) -> float:
    """Call the learner's own verifier."""
    return float(require_result("verify_sorted", imported_answer("verify_sorted")(prompt, completion)))


def _verify_even(prompt: str, completion: str) -> float:
    return float(TASKS["even"].is_right(prompt, completion))


def _about_itself(verify: Callable[[str, str], float], prompt: str, completion: str) -> float:
    """Return what a verifier says of a completion whose own digits are taken for the prompt's.

    This is the hole of the broken verifiers: what is right of any prompt is right of this one.
    """
    digits = completion.removesuffix(END_OF_TEXT)
    return verify(digits + "=", completion) if set(digits) <= set("0123456789") else 0.0


def _broken_sorted(prompt: str, completion: str) -> float:
    """Any digits in ascending order get the full reward, if they are as many as the prompt's."""
    as_many = len(completion.removesuffix(END_OF_TEXT)) == len(prompt) - 1
    return _about_itself(_verify_sorted, prompt, completion) if as_many else 0.0


def _broken_even(prompt: str, completion: str) -> float:
    """Any even digits get the full reward, and so does an answer without digits."""
    return _about_itself(_verify_even, prompt, completion)


TASKS = {
    "sorting": Task("sorting", (4, 4), _ascending, _verify_sorted, _broken_sorted),
    # The length of an answer depends on the prompt, and so does the prompt's own.
    "even": Task("even", (3, 6), _even, _verify_even, _broken_even),
}
