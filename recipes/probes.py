"""Measure which words SmolLM2 expects in praise and which in complaint, by next-word probabilities.

The context is a remark of praise or of complaint, followed by a sentence start ("The acting was") or by the beginning
of a written sentence. The model's next-word probabilities, summed over many such contexts, show how much each word
belongs to one side. They go to WORK/probes.json as word -> [praise, complaint]. The words' embeddings go to
WORK/embeddings.npz; by them the classifier applies what it learned about a word to similar words.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recipes.clean import sentences
from recipes.writer import Writer

BEGINNING = 8  # tokens

PRAISE = """Rating: 10 out of 10.|I loved this movie.|One of the best films I have ever seen.|A wonderful, brilliant film.|
Positive review: I enjoyed it very much.|What a great movie!|I highly recommend this film.|Five stars.|
An excellent movie from start to finish.|The critics praised it and so do I.""".replace("\n", "").split("|")

COMPLAINT = """Rating: 1 out of 10.|I hated this movie.|One of the worst films I have ever seen.|A terrible, boring film.|
Negative review: I did not like it at all.|What a bad movie!|Avoid this film.|One star.|
A complete waste of time from start to finish.|The critics tore it apart and so do I.""".replace("\n", "").split("|")

STARTS = """The plot is|The plot was|The acting is|The acting was|The actors|The actors are|The story is|The story|The ending|
The ending was|The director|The director has|The script is|The dialogue is|The music|The music is|The special effects are|
The characters are|The characters|The jokes are|The pacing is|It is|It was|It is a|It was so|It is an|It has|It has a|
It has no|It makes you|This is|This is a|This is the most|This film is|This movie|This movie is|This movie was|This movie was really|
This film|I|I was|I felt|I found it|I found the story|I would|I have never|I will|I wanted to|I could|I am|I thought it was|
You|You will|You should|If you|What a|There is|There are|There was|There are some|The whole thing|The whole film is|
The main character is|The lead actress|The lead actor is|The cast is|The cast|The film|The film is|The film was|The movie|
The movie is|The movie has|The movie fails|The movie works|Everything|Everything about it is|Nothing|Even the|Even|
Every scene is|Every|They|They should|He is|She is|She gives a|The performance is|The performances are|The result is|
The result is a|My wife|My friends and I|By the end, I was|After ten minutes I|After an hour|At the end|In the end, it is|
Instead,|Unfortunately,|Fortunately,|With|The humor is|The romance is|The visuals are|The direction is|The editing is|
The camera work is|A|A very|Very|Truly|Simply|Just|How|Overall,|Overall, a|Overall, it is|In short,|So|Do|Do not|
Watch|Not|Not only|The only|The only thing|The best|The worst|The most|Some of the|Most of the|For|From|As a|As for the plot, it is|
The first half is|The second half is|The twist is|The writing is|The sets are|Such a|Such|Too|Full of|Filled with|
Because it is|One of the|Never|Always|Please|Thank|Save|Go|See|Skip|Maybe|Clearly,|The villain is|The children are""".replace(
    "\n", ""
).split("|")


def contexts(writer: Writer, beginnings: list[list[int]]) -> list[tuple[int, int, list[int]]]:
    """Return the contexts: every start after every remark, and each beginning after one remark of each side.

    Returns: for each context its side (0 for praise, 1 for complaint), the number of last positions to evaluate, and
        its token ids.
    """
    sides = (PRAISE, COMPLAINT)
    encode = partial(writer.tokenizer.encode, add_special_tokens=False)
    fixed = [(side, 1, encode(f"{remark} {start}")) for side in (0, 1) for remark in sides[side] for start in STARTS]
    written = [
        (side, BEGINNING, encode(sides[side][index % len(PRAISE)]) + ids)
        for index, ids in enumerate(beginnings)
        for side in (0, 1)
    ]
    return fixed + written


def sentence_beginnings(work: Path, writer: Writer, count: int) -> list[list[int]]:
    """Return the first `BEGINNING` tokens of random sentences of written reviews, each beginning once."""
    documents = map(json.loads, (work / "corpus.jsonl").read_text().splitlines())
    parts = sorted(
        {
            part
            for document in documents
            if document["label"] is not None and not document["held_out"]
            for part in sentences(document["text"])[1:]
        }
    )
    random.Random(0).shuffle(parts)
    encoded = writer.tokenizer([" " + part for part in parts[: 3 * count]], add_special_tokens=False)["input_ids"]
    beginnings = dict.fromkeys(tuple(ids[:BEGINNING]) for ids in encoded if len(ids) > BEGINNING)
    return [list(ids) for ids in beginnings][:count]


@torch.inference_mode()
def next_words(writer: Writer, contexts: list[tuple[int, int, list[int]]]) -> torch.Tensor:
    """Return [2, outputs], the next-token probabilities summed over the contexts of each side."""
    totals = torch.zeros(2, len(writer.output_ids))
    by_shape = defaultdict(list)
    for side, last, ids in contexts:
        by_shape[side, last, len(ids)].append(ids)
    for (side, last, _), group in by_shape.items():
        for first in range(0, len(group), 64):
            ids = torch.tensor(group[first : first + 64])
            for state in writer(ids, writer.empty_cache(len(ids)), 0, last).unbind(dim=1):
                totals[side] += writer.head(state).softmax(dim=-1).sum(dim=0)
    return totals


def save_embeddings(writer: Writer, path: Path) -> None:
    """Save the centred unit embeddings of tokens that are lower-case words of three or more letters, by frequency."""
    texts = writer.tokenizer.batch_decode(writer.output_ids[:, None])
    chosen = [index for index, text in enumerate(texts) if re.fullmatch(r" [a-z]{3,}", text)]
    vectors = writer.embed[writer.output_ids[chosen]]
    vectors = vectors - vectors.mean(dim=0)
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    np.savez(
        path, words=np.array([texts[index].strip() for index in chosen]), vectors=vectors.numpy().astype(np.float16)
    )


def main() -> None:
    """Measure the words, and save counts and embeddings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--beginnings", type=int, default=2000, help="number of beginnings of written sentences")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    writer = Writer(max_len=48)
    save_embeddings(writer, args.work / "embeddings.npz")
    probed = contexts(writer, sentence_beginnings(args.work, writer, args.beginnings))
    totals = next_words(writer, probed)
    counts: dict[str, list[float]] = {}
    for text, praise, complaint in zip(
        writer.tokenizer.batch_decode(writer.output_ids[:, None]), *totals.tolist(), strict=False
    ):
        if re.fullmatch(r" [A-Za-z]{2,}", text):  # a whole word, or the beginning of a longer one
            earlier = counts.get(text.strip().lower(), [0.0, 0.0])
            counts[text.strip().lower()] = [earlier[0] + praise, earlier[1] + complaint]
    (args.work / "probes.json").write_text(json.dumps(counts, indent=0))
    print(f"{len(counts)} words, {sum(last for _, last, _ in probed)} contexts")


if __name__ == "__main__":
    main()
