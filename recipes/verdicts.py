"""What does SmolLM2 make of a text? Its state before the word that would follow "... This movie was really".

Read are the first words of each written review and fragments of it. The states go to WORK/verdicts.npz; `sentiment`
learns how they tell praise from complaint, and teaches the small classifier with it.
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
FIRST, SHORTEST, LONGEST = 35, 6, 40  # words: of a beginning; of a fragment
FRAGMENTS = 2  # of a review, beside its first words


def passages(text: str, rng: random.Random) -> list[str]:
    """The first words of a review, and fragments that begin with one of its sentences."""
    parts = sentences(text)
    rests = [" ".join(parts[rng.randrange(len(parts)) :]) for _ in range(FRAGMENTS)]
    return [
        " ".join(text.split()[:FIRST]),
        *(" ".join(rest.split()[: rng.randint(SHORTEST, LONGEST)]) for rest in rests),
    ]


@torch.inference_mode()
def states(writer: Writer, texts: list[str], rows: int = 64) -> Float[np.ndarray, "texts d_model"]:
    """The last state of each text inside `QUESTION`; texts of about the same length are read together."""
    encoded = writer.tokenizer([QUESTION.format(text=text) for text in texts], add_special_tokens=False)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    found = np.zeros((len(texts), writer.embed.shape[1]), dtype=np.float16)
    for i in range(0, len(order), rows):
        chosen = order[i : i + rows]
        lengths = [len(encoded[j]) for j in chosen]
        ids = torch.tensor(
            [encoded[j] + [0] * (max(lengths) - len(encoded[j])) for j in chosen]
        )  # what follows is not seen
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
    read = [passage for d in reviews for passage in passages(d["text"], rng)]
    np.savez(
        args.work / "verdicts.npz",
        reviews=np.array([d["text"] for d in reviews]),
        labels=np.array([d["label"] for d in reviews]),
        passages=np.array(read),
        states=states(Writer(max_len=160), read),
    )
    print(f"{len(read)} passages of {len(reviews)} reviews")


if __name__ == "__main__":
    main()
