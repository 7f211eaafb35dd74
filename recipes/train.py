"""Train the embedded model for a given time into WORK/<run>/: model, losses and a checkpoint to resume from.

The model has GPT-2's architecture and 2.4M parameters. AdamW trains embeddings, norms and biases, and Muon the
matrices; products are in bfloat16 and weights in fp32. The learning rate depends on the elapsed time: a short warm-up,
then constant, then linear to zero over the last part. `--start FOLDER` starts a second cycle from a trained model's
weights and tokenizer.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from recipes.data import SourceTexts, Windows, build_stream, read_corpus
from recipes.muon import Muon
from rlhf_course.files import atomic_write

TOKENS_A_STEP = 4096
SHORT, LONG = 128, 256  # window lengths; every fourth step uses the long one, so that all positions are trained
ADAM_LR, MUON_LR = 3e-3, 0.02
WARMUP, DECAY = 0.02, 0.4  # fractions of the training time
SECOND_PEAK = 0.6  # factor of these rates when training starts from trained weights
HELD_OUT_CHARS = 60_000  # number of held-out characters that are measured in each source


def new_model(tokenizer: PreTrainedTokenizerBase, activation: str = "gelu_new") -> GPT2LMHeadModel:
    """Return an untrained model with 4 layers of width 192, tied embeddings and no dropout."""
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LONG,
        n_embd=192,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=True,
        activation_function=activation,
    )
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("sdpa")
    return model


def optimizers(model: GPT2LMHeadModel) -> list[torch.optim.Optimizer]:
    """Return AdamW for embeddings, norms and biases, and Muon for the matrices of the blocks."""
    matrices = [parameter for name, parameter in model.named_parameters() if parameter.ndim == 2 and ".h." in name]
    matrix_ids = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in matrix_ids]
    return [torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0), Muon(matrices, lr=MUON_LR)]


def lr_factor(fraction: float) -> float:
    """Return the factor of the learning rates when this fraction of the time is over."""
    return max(0.0, min(1.0, fraction / WARMUP + 1e-3, (1 - fraction) / DECAY))


def token_losses(model: GPT2LMHeadModel, window: Int[Tensor, "rows seq"]) -> Float[Tensor, "rows seq-1"]:
    """Return the negative log-likelihood of every token but the first."""
    logits = model(window[:, :-1], use_cache=False).logits.float()
    return F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten(), reduction="none").view(len(window), -1)


@torch.no_grad()
def bits_per_character(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, source: SourceTexts, chars: int
) -> float:
    """Return bits per character of held-out text, in windows of `SHORT` tokens after <|endoftext|>."""
    text = " ".join(source.texts)[:chars]
    ids = tokenizer.encode(text)
    chunks = [ids[first : first + SHORT] for first in range(0, len(ids), SHORT)][:-1]
    if not chunks:
        return math.nan
    windows = torch.tensor([[tokenizer.eos_token_id, *chunk] for chunk in chunks])
    nats = sum(token_losses(model, batch).sum().item() for batch in windows.split(32))
    return nats / math.log(2) / len(tokenizer.decode([token for chunk in chunks for token in chunk]))


class Run:
    """A training run and its state."""

    def __init__(self, work: Path, name: str, minutes: float, seed: int, start: Path | None = None) -> None:
        self.folder, self.seconds_allowed = work / name, 60 * minutes
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        self.tokenizer = AutoTokenizer.from_pretrained(start or work / "tokenizer")
        end = self.tokenizer.eos_token_id
        self.windows = Windows([build_stream(source, self.tokenizer, end) for source in read_corpus(work)], end, seed)
        self.held_out = read_corpus(work, held_out=True)
        self.model = new_model(self.tokenizer, activation="gelu_pytorch_tanh")  # the same function in one kernel
        self.optimizers = optimizers(self.model)
        self.base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.step, self.seconds, self.losses = 0, 0.0, []
        self.peak, self.earlier_minutes, self.earlier_bits = 1.0, 0.0, None
        if start:
            self.load_weights(start)
        self.threads = "one thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"

    def load_weights(self, folder: Path) -> None:
        """Load a trained model's weights, continue its losses, and measure it on this run's held-out text."""
        self.model.load_state_dict(GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).state_dict())
        self.peak = SECOND_PEAK
        curve = folder / "losses.csv" if (folder / "losses.csv").exists() else folder.parent / "losses.csv"
        self.losses = list(csv.DictReader(curve.open()))
        self.step, self.earlier_minutes = int(self.losses[-1]["step"]), float(self.losses[-1]["minutes"])
        self.earlier_bits = self.measure(HELD_OUT_CHARS)

    def train_step(self) -> float:
        """Make one training step, and return its loss in nats per token."""
        factor = self.peak * lr_factor(self.seconds / self.seconds_allowed)
        for optimizer, lrs in zip(self.optimizers, self.base_lrs, strict=False):
            for group, lr in zip(optimizer.param_groups, lrs, strict=False):
                group["lr"] = lr * factor
        length = LONG if self.step % 4 == 3 else SHORT
        window = torch.from_numpy(self.windows.batch(self.step, TOKENS_A_STEP // length, length)).long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = token_losses(self.model, window).mean()
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return loss.item()

    def measure(self, chars: int) -> dict[str, float]:
        """Return held-out bits per character by source."""
        return {
            source.name: bits_per_character(self.model, self.tokenizer, source, chars)
            for source in self.held_out
            if source.texts
        }

    def log_losses(self, recent: list[float]) -> None:
        """Append a row to losses.csv, and print it."""
        weights = {source.name: source.share for source in self.held_out}
        bits = self.measure(HELD_OUT_CHARS // 8)
        mean = float(np.average(list(bits.values()), weights=[weights[name] for name in bits]))
        minutes = self.earlier_minutes + self.seconds / 60
        row = {
            "step": self.step,
            "minutes": round(minutes, 2),
            "tokens": self.step * TOKENS_A_STEP,
            "train_loss": round(float(np.mean(recent)), 4),
            "held_out_bits_per_character": round(mean, 4),
        }
        self.losses.append(row)
        with (self.folder / "losses.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows(self.losses)
        print(row, f"{row['tokens'] / minutes / 60:.0f} tokens/s", flush=True)

    def save(self) -> None:
        """Write a checkpoint for `resume`, atomically."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "earlier_minutes": self.earlier_minutes,
            "earlier_bits": self.earlier_bits,
        }
        with atomic_write(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Restore the state of the checkpoint."""
        state = torch.load(self.folder / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=False):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.earlier_minutes, self.earlier_bits = state["earlier_minutes"], state["earlier_bits"]

    def finish(self) -> None:
        """Measure on more text, and save the model in fp16 with the facts of the run."""
        facts = {
            "steps": self.step,
            "minutes": self.earlier_minutes + self.seconds / 60,
            "tokens": self.step * TOKENS_A_STEP,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "bits": self.measure(HELD_OUT_CHARS),
            "threads": self.threads,
            "own_minutes": self.seconds / 60,
            "earlier_bits": self.earlier_bits,
        }
        (self.folder / "facts.json").write_text(json.dumps(facts, indent=1))
        half = new_model(self.tokenizer)
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(self.folder / "model")
        self.tokenizer.save_pretrained(self.folder / "model")

    def train(self) -> None:
        """Train until the time is over; log every minute, and write a checkpoint every two minutes."""
        recent: list[float] = []
        logged = saved = self.seconds
        while self.seconds < self.seconds_allowed:
            start = time.monotonic()
            recent.append(self.train_step())
            self.seconds += time.monotonic() - start
            if self.seconds - logged > 60:
                self.log_losses(recent)
                recent, logged = [], self.seconds
            if self.seconds - saved > 120:
                self.save()
                saved = self.seconds
        if recent:
            self.log_losses(recent)
        self.save()
        self.finish()


def main() -> None:
    """Start or resume a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--run", default="run", help="name of the run's folder below WORK")
    parser.add_argument("--minutes", type=float, required=True, help="total training time, with that before --resume")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--start",
        type=Path,
        help="folder of a trained model to start from; its `losses.csv` is in it or in the folder above",
    )
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    run = Run(args.work, args.run, args.minutes, args.seed, args.start)
    if args.resume:
        run.resume()
    run.train()


if __name__ == "__main__":
    main()
