"""Let SmolLM2-135M write film reviews and everyday prose: WORK/synthetic-*.jsonl, one text a line.

Stop it whenever there is enough, start it again to go on: every batch has a seed of its own, and finished batches are
counted from the file. Workers of one thread each (`--worker 0 --workers 2`, `--worker 1 --workers 2`) do not wait for
one another, which on a shared machine is faster than one worker with two threads.
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

SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"  # its own
)
CHAT = "<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n"
POOL = 400  # requests drawn for a batch; those of the commonest length are taken


def draw_batch(seed: int, writer: Writer, args: argparse.Namespace, chat: str) -> tuple[list[Request], torch.Tensor]:
    """`args.prompts` requests whose token sequences all have one length, and these sequences."""
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
    """The texts of one batch as records: batch, kind, label, ask, opening, text, whether it came to an end."""
    requests, prompts = draw_batch(seed, writer, args, CHAT if args.plain else SYSTEM + CHAT)
    rows = [(request, opening) for request in requests for opening in request.openings]
    openings = [writer.tokenizer.encode(opening, add_special_tokens=False) for _, opening in rows]
    generator = torch.Generator().manual_seed(seed)
    sampling = Sampling(temperature=args.temperature)
    texts = writer.write(prompts, openings, args.max_new, sampling, generator)
    return [
        {
            "batch": seed,
            "kind": r.kind,
            "label": r.label,
            "ask": r.ask,
            "opening": o,
            "text": writer.tokenizer.decode(ids),
            "ended": len(ids) < args.max_new,
            "tokens": len(ids),
        }
        for (r, o), ids in zip(rows, texts, strict=False)
    ]


def next_batch(path: Path, worker: int, workers: int) -> int:
    """The first batch of this worker that is not in its file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["batch"] + workers for line in lines), default=worker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--prompts", type=int, default=16, help="requests in a batch")
    parser.add_argument("--copies", type=int, default=10, help="texts for each request")
    parser.add_argument("--reviews", type=float, default=0.4, help="share of film reviews among the texts")
    parser.add_argument("--max-new", type=int, default=140, help="tokens of a text at most")
    parser.add_argument("--temperature", type=float, default=Sampling.temperature)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--plain", action="store_true", help="without the model's own system prompt: looser, less obedient texts"
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
