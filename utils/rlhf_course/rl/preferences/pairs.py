"""Sample pairs of completions, let a simulated labeller compare them, and store them in `pairs.jsonl`."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.judges import gold_rewards, simulated_preferences
from rlhf_course.rl.batches import check_special_tokens
from rlhf_course.rl.samples import get_samples
from rlhf_course.rl.special_tokens import END_OF_TEXT

# How many texts are sampled at once: more need more memory and are hardly faster.
_SAMPLED_AT_ONCE = 256


@dataclass(frozen=True)
class Pair:
    """Two completions of a prompt, of which a labeller preferred one.

    Attributes:
        prompt: The text before both.
        chosen: The completion that was preferred; it ends with the end-of-text token where the model ended the text.
        rejected: The other completion.
    """

    prompt: str
    chosen: str
    rejected: str


def sample_completions(
    model: Any, prompt: str, count: int, gen_len: int = 24, temperature: float = 1.0, seed: int = 1
) -> list[str]:
    """Sample completions of a prompt from the whole distribution of a model.

    Args:
        model: A TransformerLens bridge, or a model that holds one.
        prompt: The text that is continued.
        count: Number of completions.
        gen_len: Number of sampled tokens; a completion is shorter where an end-of-text token is among them.
        temperature: Logits are divided by this.
        seed: Seed of the sampling.

    Returns:
        The completions, each up to and with its first end-of-text token.

    Raises:
        CourseError: The model's tokenizer has no token that begins or ends a text.
    """
    check_special_tokens(model.tokenizer)
    generator = torch.Generator(model.cfg.device).manual_seed(seed)
    completions: list[str] = []
    while len(completions) < count:
        number = min(_SAMPLED_AT_ONCE, count - len(completions))
        _, texts = get_samples(model, prompt, number, gen_len, temperature, top_k=None, generator=generator)
        completions += [with_end(text, prompt) for text in texts]
    return completions


def completion_of(text: str, prompt: str) -> str:
    """Return what follows the prompt in a text, up to the first end-of-text token after it.

    Args:
        text: A text that a model sampled, with or without the end-of-text token that begins it.
        prompt: The prompt, without special tokens.

    Raises:
        CourseError: The text does not begin with the prompt.
    """
    body = text.removeprefix(END_OF_TEXT)
    if not body.startswith(prompt):
        raise CourseError(f"the text {text[:60]!r} does not begin with the prompt {prompt!r}")
    return body[len(prompt) :].partition(END_OF_TEXT)[0]


def with_end(text: str, prompt: str) -> str:
    """Return what follows the prompt in a sampled text, up to and with its first end-of-text token."""
    completion = completion_of(text, prompt)
    ended = END_OF_TEXT in text.removeprefix(END_OF_TEXT)[len(prompt) :]
    return completion + END_OF_TEXT * ended


def gold_of(prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch"]:
    """Return the gold reward of completions as `sample_completions` returns them."""
    return gold_rewards(prompt, [completion.removesuffix(END_OF_TEXT) for completion in completions])


def labelled_pairs(prompt: str, completions: Sequence[str], temperature: float = 1.0, seed: int = 1) -> list[Pair]:
    """Let a simulated labeller compare each two completions that stand side by side.

    Args:
        prompt: The text before the completions.
        completions: An even number of completions.
        temperature: How often the labeller errs; see `simulated_preferences`.
        seed: Seed of the labeller.

    Raises:
        CourseError: The number of completions is odd.
    """
    if len(completions) % 2:
        raise CourseError(f"pairs need an even number of completions, got {len(completions)}")
    gold = gold_of(prompt, completions)
    generator = torch.Generator().manual_seed(seed)
    first_wins = simulated_preferences(gold[0::2], gold[1::2], temperature, generator).tolist()
    sides = zip(completions[0::2], completions[1::2], first_wins, strict=True)
    return [Pair(prompt, *((a, b) if wins else (b, a))) for a, b, wins in sides]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs as one JSON object in each line."""
    write_text(path, "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs))


def read_pairs(path: str | Path) -> list[Pair]:
    """Read the pairs of a file.

    Raises:
        CourseError: The file cannot be read, or a line holds no pair; the message names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from error
    return list(_parse_pairs(Path(path), text))


def _parse_pairs(path: Path, text: str) -> Iterator[Pair]:
    names = ("prompt", "chosen", "rejected")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            values = [entry[name] for name in names]
        except (ValueError, KeyError, TypeError) as error:
            raise CourseError(f"{path}, line {number}: should be a JSON object with {', '.join(names)}") from error
        if not all(isinstance(value, str) for value in values):
            raise CourseError(f"{path}, line {number}: {', '.join(names)} should be texts")
        yield Pair(*values)
