"""Train a model on pairs: the loop, its record and its checkpoints, which a reward model and DPO share."""

import math
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import code_in_use
from rlhf_course.rl.models import load_model
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.pairs import Pair, labelled_pairs, read_pairs, sample_completions, write_pairs
from rlhf_course.rl.run_folder import (
    METRICS,
    RunFolder,
    claim_folder,
    load_checkpoint,
    load_config,
    locations,
    locked,
    new_folder,
)
from rlhf_course.rl.show import Display
from rlhf_course.rl.state import random_state, restore_random_state, seed_everything
from rlhf_course.rl.types import PhaseCallback, Row

_CHECKPOINT_INTERVAL = 20
# Held-out texts come from seeds that no training pair has.
_HELD_OUT = 1_000_003


class PairTrainer:
    """Train a model on pairs. A subclass makes the model and computes the loss of some pairs.

    A phase of its run is one optimizer step, so that `metrics.csv` has a row for each.

    Args:
        args: The settings.
        pairs: The pairs to learn from and the held-out ones; None for those that the settings describe.

    Attributes:
        kind: The name of the run.
        exercises: The exercises whose answers the run calls.
        args: The settings, with the numbers of pairs that there are.
        model: The model, in eval mode: the course trains without dropout.
        pairs, held_out: The pairs to learn from, and those to measure accuracy on.
        phase: Number of optimizer steps so far.
    """

    kind = ""
    exercises: tuple[str, ...] = ()

    def __init__(self, args: PairArgs, pairs: tuple[list[Pair], list[Pair]] | None = None) -> None:
        seed_everything(args.seed)
        self.pairs, self.held_out = make_pairs(args) if pairs is None else pairs
        if not self.pairs or not self.held_out:
            raise CourseError("training needs at least one pair to learn from, and one to measure accuracy on")
        prompt = only_prompt([*self.pairs, *self.held_out])
        self.args = replace(args, pairs=len(self.pairs), held_out=len(self.held_out), prefix=prompt)
        self.model: Any = self.make_model()
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=args.base_lr, weight_decay=args.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.args.lr_factor)
        self.phase = 0
        self._stop_requested = False

    # What a subclass adds.

    def make_model(self) -> Any:
        """Return the model that is trained."""
        raise NotImplementedError

    def parameters(self) -> list[nn.Parameter]:
        """Return the model's parameters."""
        raise NotImplementedError

    def loss(self, pairs: list[Pair], rows: Int[Tensor, "pairs"]) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the loss of the training pairs with some numbers, and what the run records of it."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Return what the run records of the held-out pairs."""
        raise NotImplementedError

    # The loop.

    def train(
        self, out: str | Path | None = None, resume: bool = False, show: bool = True, watch: PhaseCallback | None = None
    ) -> RunFolder:
        """Take the remaining optimizer steps, and record each.

        Ctrl-C ends the run; its newest checkpoint is at most 20 steps old, and `resume` continues there.

        Args:
            out: The run's folder; by default a new one in `runs/`.
            resume: Continue the run in `out`.
            show: Print a progress bar.
            watch: A function that is called after each step, with the step's row of metrics and an empty list.

        Raises:
            CourseError: `out` is in use, it holds no run to resume, or the loss is not finite.
        """
        if out is None:
            out = claim_folder(Path("runs"), f"{self.kind}-{time.strftime('%Y%m%d-%H%M%S')}")
        path = Path(out)
        with ExitStack() as stack:
            folder = stack.enter_context(self._resumed(path) if resume else self._new(path))
            display = stack.enter_context(Display(show, self.args.steps, self.phase))
            while self.phase < self.args.steps and not self._stop_requested:
                row = self._step()
                folder.add_phase(row, [])
                self.phase += 1
                display.advance(self.phase, f"loss {row['loss']:.3f}")
                if watch is not None:
                    watch(dict(row), [])
                if self.phase % _CHECKPOINT_INTERVAL == 0:
                    self._save(folder)
            self._save(folder)
            display.show_message(f"{self.phase} of {self.args.steps} steps done; the run is in {path}")
        return folder

    def stop(self) -> None:
        """End `train` after the current step. Any thread may call this."""
        self._stop_requested = True

    def _step(self) -> Row:
        began = time.perf_counter()
        rows = self._rows_of(self.phase)
        loss, metrics = self.loss(self.pairs, rows)
        if not math.isfinite(value := loss.item()):
            raise CourseError(f"the loss was {value} in step {self.phase + 1}: lower base_lr, or look at the pairs")
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), self.args.max_grad_norm)
        lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.scheduler.step()
        row: Row = dict.fromkeys(METRICS, math.nan)
        row |= {"phase": self.phase, "objective": -value, "loss": value, **metrics, "lr": lr}
        steps_an_epoch = self.args.steps // self.args.epochs
        is_end = (self.phase + 1) % steps_an_epoch == 0
        row |= self.evaluate() if is_end else {}
        row["seconds"] = time.perf_counter() - began
        return row

    def _rows_of(self, step: int) -> Int[Tensor, "pairs"]:
        """Return the numbers of the pairs of a step: each epoch has a permutation of its own, cut into steps."""
        epoch, index = divmod(step, self.args.steps // self.args.epochs)
        generator = torch.Generator().manual_seed(self.args.seed * 1000 + epoch)
        return torch.randperm(len(self.pairs), generator=generator).split(self.args.batch_size)[index]

    # The record.

    def _config(self, path: Path) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "args": asdict(self.args),
            "run_name": path.name,
            "wandb_id": uuid.uuid4().hex[:12],
            **locations(path, code_in_use(), Path.cwd()),
            "torch": torch.__version__,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "args": asdict(self.args),
            "phase": self.phase,
            "step": self.phase,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            **random_state(),
        }

    def _save(self, folder: RunFolder) -> None:
        if not folder.has_checkpoint(self.phase):
            folder.save_checkpoint(self.phase, self._state())
            folder.draw(("loss", "loss"), ("accuracy", "accuracy on the pairs of the step"))

    @contextmanager
    def _new(self, path: Path) -> Iterator[RunFolder]:
        with new_folder(path):
            folder = RunFolder.create(path, self._config(path))
            write_pairs(path / "pairs.jsonl", self.pairs)
            write_pairs(path / "held_out.jsonl", self.held_out)
            folder.save_checkpoint(self.phase, self._state())
            yield folder

    @contextmanager
    def _resumed(self, path: Path) -> Iterator[RunFolder]:
        if load_config(path)["args"] != asdict(self.args):
            raise CourseError(f"{path} is a run with other settings: resume it with its own")
        with locked(path):
            state = load_checkpoint(path)
            folder = RunFolder.reopen(path, state["phase"], 0)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            restore_random_state(state)
            self.phase = state["phase"]
            folder.truncate(self.phase)
            yield folder


def only_prompt(pairs: Sequence[Pair]) -> str:
    """Return the prompt of pairs.

    Raises:
        CourseError: The pairs have several prompts, or an empty one.
    """
    prompts = sorted({pair.prompt for pair in pairs})
    if len(prompts) > 1:
        shown = ", ".join(map(repr, prompts[:3])) + (", ..." if len(prompts) > 3 else "")
        raise CourseError(f"a run learns from pairs of one prompt, got {len(prompts)} prompts: {shown}")
    if not prompts[0].strip():
        raise CourseError("a run learns from pairs that have a prompt, got pairs with an empty one")
    return prompts[0]


def make_pairs(args: PairArgs) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to learn from, and the held-out ones.

    Those of `pairs_file` are divided: its last tenth is held out. Otherwise the base model samples both, and a
    simulated labeller compares them; the held-out pairs are labelled by the gold reward itself, without error.

    Raises:
        CourseError: The file holds fewer than ten pairs.
    """
    if args.pairs_file is not None:
        pairs = read_pairs(args.pairs_file)
        if len(pairs) < 10:
            raise CourseError(f"{args.pairs_file} holds {len(pairs)} pairs, should hold at least 10")
        cut = len(pairs) - max(1, len(pairs) // 10)
        return pairs[:cut], pairs[cut:]
    model = load_model(args.base_model)
    found = []
    for count, seed, temperature in (
        (args.pairs, args.seed, args.label_temperature),
        (args.held_out, args.seed + _HELD_OUT, 1e-6),
    ):
        completions = sample_completions(model, args.prefix, 2 * count, args.gen_len, seed=seed)
        found.append(labelled_pairs(args.prefix, completions, temperature, seed))
    return found[0], found[1]
