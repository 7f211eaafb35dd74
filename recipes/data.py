"""Turn the corpus into training windows: a token stream for each source, and the positions where a window may begin."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipes.clean import sentences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FAVOURED = re.compile(r"(This|There|It is|It was|The movie|The film) ")
REALLY = re.compile(r"This (movie|film) was ")
FAVOURED_SHARE, REALLY_SHARE = 1 / 8, 1 / 40
LONGEST_FIRST_WORD = 4  # tokens


@dataclass
class SourceTexts:
    """The documents of one source, and its share of the training windows."""

    name: str
    share: float
    texts: list[str] = field(default_factory=list)


def read_corpus(work: Path, held_out: bool = False) -> list[SourceTexts]:
    """Return the training documents (or the held-out ones) by source, with paragraphs joined by spaces."""
    shares = {row["source"]: row["share"] for row in json.loads((work / "corpus.json").read_text())}
    sources = {name: SourceTexts(name, share) for name, share in shares.items()}
    for line in (work / "corpus.jsonl").read_text().splitlines():
        document = json.loads(line)
        if document["held_out"] == held_out:
            sources[document["source"]].texts.append(document["text"].replace("\n", " "))
    return list(sources.values())


@dataclass
class Stream:
    """All tokens of one source, and its sentence starts.

    A window begins with <|endoftext|> and a sentence's first word without the space that precedes it in the stream. So
    each start stores the tokens of that word and the position after it.

    Attributes:
        share: the source's share of the training windows.
        tokens: all tokens of the source.
        first: tokens of the first word of each sentence, padded with -1.
        rest: position in `tokens` after the first word of each sentence.
        favoured: indices of the sentences that match `FAVOURED`.
        really: indices of the sentences that match `REALLY`.
    """

    share: float
    tokens: np.ndarray
    first: np.ndarray
    rest: np.ndarray
    favoured: np.ndarray
    really: np.ndarray


def build_stream(source: SourceTexts, tokenizer: PreTrainedTokenizerBase, end_id: int) -> Stream:
    """Encode one source and find its sentence starts."""
    tokens: list[int] = []
    first: list[list[int]] = []
    rest: list[int] = []
    favoured: list[int] = []
    really: list[int] = []
    for text in source.texts:
        tokens.append(end_id)
        parts = sentences(text)
        spaced = [part if index == 0 else " " + part for index, part in enumerate(parts)]
        for part, ids in zip(parts, tokenizer(spaced)["input_ids"], strict=False):
            word = re.match(r"\S+", part).group()
            plain = re.match(r"[A-Za-z]+", word)
            if plain:
                without_space = tokenizer.encode(plain.group())
                in_stream = without_space if part is parts[0] else tokenizer.encode(" " + plain.group())
                if len(without_space) <= LONGEST_FIRST_WORD and ids[: len(in_stream)] == in_stream:
                    if FAVOURED.match(part):
                        favoured.append(len(rest))
                    if REALLY.match(part):
                        really.append(len(rest))
                    first.append(without_space + [-1] * (LONGEST_FIRST_WORD - len(without_space)))
                    rest.append(len(tokens) + len(in_stream))
            tokens.extend(ids)
    tokens.append(end_id)
    starts = (np.array(indices, dtype=int) for indices in (favoured, really))
    return Stream(source.share, np.array(tokens, np.int32), np.array(first), np.array(rest), *starts)


class Windows:
    """Draw training batches, with randomness from `seed` and the step alone."""

    def __init__(self, streams: list[Stream], end_id: int, seed: int) -> None:
        self.streams, self.end_id, self.seed = [stream for stream in streams if len(stream.rest)], end_id, seed
        shares = np.array([stream.share for stream in self.streams])
        self.shares = shares / shares.sum()

    def batch(self, step: int, rows: int, length: int) -> np.ndarray:
        """Return `rows` windows of `length + 1` tokens."""
        rng = np.random.default_rng((self.seed, step))
        indices = rng.choice(len(self.streams), size=rows, p=self.shares)
        return np.stack([self.window(self.streams[index], rng, length + 1) for index in indices])

    def window(self, stream: Stream, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return a window of `size` tokens that begins with <|endoftext|> and a sentence."""
        draw = rng.random()
        if draw < REALLY_SHARE and len(stream.really):
            start = rng.choice(stream.really)
        elif draw < FAVOURED_SHARE and len(stream.favoured):
            start = rng.choice(stream.favoured)
        else:
            start = rng.integers(len(stream.rest))
        word = stream.first[start]
        head = np.concatenate([[self.end_id], word[word >= 0]])
        body = stream.tokens[stream.rest[start] : stream.rest[start] + size - len(head)]
        window = np.concatenate([head, body])
        if len(window) < size:  # the stream ends: continue at its beginning
            window = np.concatenate([window, stream.tokens[1 : 1 + size - len(window)]])
        return window
