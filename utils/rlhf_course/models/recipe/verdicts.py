"""What does SmolLM2 make of a text? Its state before the word that would follow "... This movie was really".

Read are, of each written review, the first words and a fragment, and by themselves the commonest words. The states go to
WORK/verdicts.npz; `sentiment` learns how they tell praise from complaint, and teaches the small classifier with it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from rlhf_course.models.recipe.clean import sentences
from rlhf_course.models.recipe.writer import Writer

QUESTION = "{text} ... This movie was really"
WORDS = 5000
FIRST, SHORTEST, LONGEST = 35, 8, 40  # words: of a beginning; of a fragment
WEIGHT = {"written-review": 20, "written-prose": 5}  # how often a word counts that stands there; elsewhere once


def passages(text: str, rng: random.Random) -> list[str]:
    """The first words of a review, and a fragment that begins with one of its sentences."""
    parts = sentences(text)
    rest = " ".join(parts[rng.randrange(len(parts)) :])
    return [" ".join(text.split()[:FIRST]), " ".join(rest.split()[: rng.randint(SHORTEST, LONGEST)])]


def common_words(documents: list[dict], count: int) -> list[str]:
    """The commonest words of the corpus, those of film reviews first of all."""
    counts: Counter[str] = Counter()
    for document in documents:
        for word in re.findall(r"[a-z]{3,}", document["text"].lower()):
            counts[word] += WEIGHT.get(document["source"], 1)
    return [word for word, _ in counts.most_common(count)]


@torch.inference_mode()
def states(writer: Writer, texts: list[str], rows: int = 64) -> Float[np.ndarray, "texts d_model"]:
    """The last state of each text inside `QUESTION`; texts of about the same length are read together."""
    encoded = writer.tokenizer([QUESTION.format(text=text) for text in texts], add_special_tokens=False)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    found = np.zeros((len(texts), writer.embed.shape[1]), dtype=np.float16)
    for i in range(0, len(order), rows):
        chosen = order[i : i + rows]
        lengths = [len(encoded[j]) for j in chosen]
        ids = torch.tensor([encoded[j] + [0] * (max(lengths) - len(encoded[j])) for j in chosen])  # what follows is not seen
        read = writer(ids, writer.empty_cache(len(ids)), 0, last=ids.shape[1])
        found[chosen] = read[torch.arange(len(ids)), torch.tensor(lengths) - 1].numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    documents = [json.loads(line) for line in (args.work / "corpus.jsonl").read_text().splitlines()]
    reviews = [d for d in documents if d["label"] is not None and not d["held_out"]]
    rng = random.Random(0)
    rows = [(passage, d["label"]) for d in reviews for passage in passages(d["text"], rng)]
    texts, labels = zip(*rows)
    words, writer = common_words(documents, WORDS), Writer(max_len=160)
    np.savez(
        args.work / "verdicts.npz", texts=np.array(texts), labels=np.array(labels), states=states(writer, list(texts)),
        words=np.array(words), word_states=states(writer, words),
    )
    print(f"{len(texts)} passages, {len(words)} words")


if __name__ == "__main__":
    main()
