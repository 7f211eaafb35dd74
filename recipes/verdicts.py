"""Compute SmolLM2's hidden state before the word that would follow a text and "... This movie was really".

The texts are the first words of each written review and fragments of it. The states go to WORK/verdicts.npz.
`sentiment` fits a regression that tells praise from complaint by the states, and trains the small classifier with it.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from recipes.clean import sentences
from recipes.writer import Writer

QUESTION = "{text} ... This movie was really"
FIRST = 35  # number of words at the beginning of a review
SHORTEST, LONGEST = 6, 40  # numbers of words of a fragment
FRAGMENTS = 2  # number of fragments of a review, besides its first words


def passages(text: str, rng: random.Random) -> list[str]:
    """Return the first words of a review, and fragments that each begin with one of its sentences."""
    parts = sentences(text)
    rests = [" ".join(parts[rng.randrange(len(parts)) :]) for _ in range(FRAGMENTS)]
    return [
        " ".join(text.split()[:FIRST]),
        *(" ".join(rest.split()[: rng.randint(SHORTEST, LONGEST)]) for rest in rests),
    ]


@torch.inference_mode()
def states(writer: Writer, texts: list[str], rows: int = 64) -> Float[np.ndarray, "texts d_model"]:
    """Return the last hidden state of each text in `QUESTION`. Texts of similar length share a batch."""
    encoded = writer.tokenizer([QUESTION.format(text=text) for text in texts], add_special_tokens=False)["input_ids"]
    order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
    result = np.zeros((len(texts), writer.embed.shape[1]), dtype=np.float16)
    for first in range(0, len(order), rows):
        batch = order[first : first + rows]
        lengths = [len(encoded[index]) for index in batch]
        # The model is causal, so the padding after a text does not change its states.
        ids = torch.tensor([encoded[index] + [0] * (max(lengths) - len(encoded[index])) for index in batch])
        hidden = writer(ids, writer.empty_cache(len(ids)), 0, last=ids.shape[1])
        result[batch] = hidden[torch.arange(len(ids)), torch.tensor(lengths) - 1].numpy()
    return result


def main() -> None:
    """Compute the states of the written reviews."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    documents = [json.loads(line) for line in (args.work / "corpus.jsonl").read_text().splitlines()]
    reviews = [document for document in documents if document["label"] is not None and not document["held_out"]]
    rng = random.Random(0)
    texts = [passage for review in reviews for passage in passages(review["text"], rng)]
    np.savez(
        args.work / "verdicts.npz",
        reviews=np.array([review["text"] for review in reviews]),
        labels=np.array([review["label"] for review in reviews]),
        passages=np.array(texts),
        states=states(Writer(max_len=160), texts),
    )
    print(f"{len(texts)} passages of {len(reviews)} reviews")


if __name__ == "__main__":
    main()
