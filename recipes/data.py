"""From corpus to training windows: token streams by source, and the places where a window may begin."""

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
    """The training documents (or the held-out ones) by source, paragraphs joined by spaces."""
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

    A window begins with <|endoftext|> and a sentence's first word *without* the space that stands before it in the
    stream; so each start keeps that word's tokens (`first`, padded with -1) and the place where the rest goes on.
    """

    share: float
    tokens: np.ndarray
    first: np.ndarray
    rest: np.ndarray
    favoured: np.ndarray
    really: np.ndarray


def build_stream(source: SourceTexts, tokenizer: PreTrainedTokenizerBase, end_id: int) -> Stream:
    """Encode one source."""
    tokens: list[int] = []
    first: list[list[int]] = []
    rest: list[int] = []
    favoured: list[int] = []
    really: list[int] = []
    for text in source.texts:
        tokens.append(end_id)
        parts = sentences(text)
        spaced = [part if i == 0 else " " + part for i, part in enumerate(parts)]
        for part, ids in zip(parts, tokenizer(spaced)["input_ids"], strict=False):
            word = re.match(r"\S+", part).group()
            plain = re.match(r"[A-Za-z]+", word)
            if plain:
                bare = tokenizer.encode(plain.group())
                here = bare if part is parts[0] else tokenizer.encode(" " + plain.group())
                if len(bare) <= LONGEST_FIRST_WORD and ids[: len(here)] == here:
                    if FAVOURED.match(part):
                        favoured.append(len(rest))
                    if REALLY.match(part):
                        really.append(len(rest))
                    first.append(bare + [-1] * (LONGEST_FIRST_WORD - len(bare)))
                    rest.append(len(tokens) + len(here))
            tokens.extend(ids)
    tokens.append(end_id)
    starts = (np.array(indices, dtype=int) for indices in (favoured, really))
    return Stream(source.share, np.array(tokens, np.int32), np.array(first), np.array(rest), *starts)


class Windows:
    """Draws training batches; all randomness comes from `seed` and the step."""

    def __init__(self, streams: list[Stream], end_id: int, seed: int) -> None:
        self.streams, self.end_id, self.seed = [s for s in streams if len(s.rest)], end_id, seed
        shares = np.array([s.share for s in self.streams])
        self.shares = shares / shares.sum()

    def batch(self, step: int, rows: int, length: int) -> np.ndarray:
        """`rows` windows of `length + 1` tokens."""
        rng = np.random.default_rng((self.seed, step))
        which = rng.choice(len(self.streams), size=rows, p=self.shares)
        return np.stack([self.window(self.streams[i], rng, length + 1) for i in which])

    def window(self, stream: Stream, rng: np.random.Generator, size: int) -> np.ndarray:
        """One window of `size` tokens that begins with <|endoftext|> and a sentence."""
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
        if len(window) < size:  # the end of the stream: go on with its beginning
            window = np.concatenate([window, stream.tokens[1 : 1 + size - len(window)]])
        return window
