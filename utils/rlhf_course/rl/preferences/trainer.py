"""Train a model on pairs: what a reward model and DPO share."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhf_course.errors import CourseError
from rlhf_course.rl.models import load_model
from rlhf_course.rl.phase_trainer import PhaseTrainer
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.pairs import Pair, labelled_pairs, read_pairs, sample_completions, write_pairs
from rlhf_course.rl.run_folder import METRICS
from rlhf_course.rl.state import seed_everything
from rlhf_course.rl.types import Row

# Held-out texts come from seeds that no training pair has.
_HELD_OUT = 1_000_003


class PairTrainer(PhaseTrainer):
    """Train a model on pairs. A subclass makes the model and computes the loss of some pairs.

    A phase of its run is one optimizer step, so that `metrics.csv` has a row for each.

    Args:
        args: The settings.
        pairs: The pairs to learn from and the held-out ones; None for those that the settings describe.

    Attributes:
        args: The settings, with the numbers of pairs that there are.
        model: The model, in eval mode: the course trains without dropout.
        pairs, held_out: The pairs to learn from, and those to measure accuracy on.
    """

    phase_name = "steps"
    plotted = (("loss", "loss"), ("accuracy", "accuracy on the pairs of the step"))

    def __init__(self, args: PairArgs, pairs: tuple[list[Pair], list[Pair]] | None = None) -> None:
        super().__init__()
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

    # A phase.

    @property
    def total_phases(self) -> int:
        """The number of optimizer steps."""
        return self.args.total_phases

    def describe_phase(self, row: Row) -> str:
        """Return the loss of a step."""
        return f"loss {row['loss']:.3f}"

    def write_inputs(self, path: Path) -> None:
        """Write the pairs to learn from and the held-out ones."""
        write_pairs(path / "pairs.jsonl", self.pairs)
        write_pairs(path / "held_out.jsonl", self.held_out)

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Take an optimizer step."""
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
        steps_an_epoch = self.args.total_phases // self.args.epochs
        is_end = (self.phase + 1) % steps_an_epoch == 0
        row |= self.evaluate() if is_end else {}
        return row, []

    def _rows_of(self, step: int) -> Int[Tensor, "pairs"]:
        """Return the numbers of the pairs of a step: each epoch has a permutation of its own, cut into steps."""
        epoch, index = divmod(step, self.args.total_phases // self.args.epochs)
        generator = torch.Generator().manual_seed(self.args.seed * 1000 + epoch)
        return torch.randperm(len(self.pairs), generator=generator).split(self.args.batch_size)[index]


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
