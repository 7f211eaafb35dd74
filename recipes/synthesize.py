"""Let SmolLM2-135M write film reviews and everyday prose into WORK/synthetic-*.jsonl, one text a line.

It can be stopped at any time and continues when it is started again: every batch has a seed of its own, and the file
shows which batches are finished. Workers of one thread each (`--worker 0 --workers 2`, `--worker 1 --workers 2`) do not
wait for one another, which is faster on a shared machine than one worker with two threads.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import torch

from recipes.prompts import Request, draw_request
from recipes.writer import Sampling, Writer

SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
CHAT = "<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n"
POOL = 400  # number of requests that are drawn for a batch, which uses those of one length


def draw_batch(seed: int, writer: Writer, args: argparse.Namespace, chat: str) -> tuple[list[Request], torch.Tensor]:
    """Return `args.prompts` requests whose token sequences have one length, and these sequences."""
    rng = random.Random(seed)
    by_length: dict[int, list[tuple[Request, list[int]]]] = defaultdict(list)
    for _ in range(POOL):
        request = draw_request(rng, args.copies, args.reviews)
        ids = writer.tokenizer.encode(chat.format(ask=request.ask), add_special_tokens=False)
        by_length[len(ids)].append((request, ids))
    full = [pool for pool in by_length.values() if len(pool) >= args.prompts]
    chosen = rng.choice(full or [max(by_length.values(), key=len)])[: args.prompts]
    return [request for request, _ in chosen], torch.tensor([ids for _, ids in chosen])


def write_batch(seed: int, writer: Writer, args: argparse.Namespace) -> list[dict]:
    """Write one batch, and return its texts as records: batch, kind, label, ask, opening, text, ended, tokens."""
    requests, prompts = draw_batch(seed, writer, args, CHAT if args.plain else SYSTEM + CHAT)
    rows = [(request, opening) for request in requests for opening in request.openings]
    openings = [writer.tokenizer.encode(opening, add_special_tokens=False) for _, opening in rows]
    generator = torch.Generator().manual_seed(seed)
    sampling = Sampling(temperature=args.temperature)
    texts = writer.write(prompts, openings, args.max_new, sampling, generator)
    return [
        {
            "batch": seed,
            "kind": request.kind,
            "label": request.label,
            "ask": request.ask,
            "opening": opening,
            "text": writer.tokenizer.decode(ids),
            "ended": len(ids) < args.max_new,
            "tokens": len(ids),
        }
        for (request, opening), ids in zip(rows, texts, strict=False)
    ]


def next_batch(path: Path, worker: int, workers: int) -> int:
    """Return the first batch of this worker that is not in its file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["batch"] + workers for line in lines), default=worker)


def main() -> None:
    """Write batches until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--prompts", type=int, default=16, help="number of requests in a batch")
    parser.add_argument("--copies", type=int, default=10, help="number of texts for each request")
    parser.add_argument("--reviews", type=float, default=0.4, help="share of film reviews among the texts")
    parser.add_argument("--max-new", type=int, default=140, help="maximum number of tokens of a text")
    parser.add_argument("--temperature", type=float, default=Sampling.temperature)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="leave out the model's own system prompt, which makes the texts follow the request less closely",
    )
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    path = args.work / f"synthetic-{'plain' if args.plain else 'system'}-{args.worker}.jsonl"
    writer, batch = Writer(), next_batch(path, args.worker, args.workers)
    start = time.monotonic()
    tokens = characters = 0
    while time.monotonic() - start < 60 * args.minutes:
        records = write_batch(batch, writer, args)
        with path.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        tokens += sum(record["tokens"] for record in records)
        characters += sum(len(record["text"]) for record in records)
        seconds = time.monotonic() - start
        print(
            f"batch {batch}: {tokens / seconds:.0f} tokens/s, {characters / 1e6:.2f} MB, {seconds / 60:.1f} min",
            flush=True,
        )
        batch += args.workers


if __name__ == "__main__":
    main()
