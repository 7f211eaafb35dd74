"""Run the phases of a training, record each, and continue where it stopped: what all trainers of later parts share."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS_BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import code_in_use
from rlhf_course.rl.run_folder import (
    RunFolder,
    claim_folder,
    load_checkpoint,
    load_config,
    locations,
    locked,
    new_folder,
)
from rlhf_course.rl.show import Display
from rlhf_course.rl.state import random_state, restore_random_state
from rlhf_course.rl.types import PhaseCallback, Row


class PhaseTrainer:
    """Train a model in phases. A subclass makes model, optimizer and scheduler, and runs a phase.

    Attributes:
        kind: The name of the run.
        exercises: The exercises whose answers the run calls.
        phase_name: What a phase is, in the plural, for the messages.
        checkpoint_interval: The number of phases between two checkpoints.
        samples_a_phase: How many samples each phase records.
        plotted: The two metrics that `reward.png` shows, each with its label.
        args: The settings, a dataclass.
        model, optimizer, scheduler: What is trained, and what trains it.
        phase: Number of phases so far.
    """

    kind = ""
    exercises: tuple[str, ...] = ()
    phase_name = "phases"
    checkpoint_interval = 20
    samples_a_phase = 0
    plotted: tuple[tuple[str, str], tuple[str, str]]

    args: Any
    model: Any
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler

    def __init__(self) -> None:
        self.phase = 0
        self._stop_requested = False

    # What a subclass adds.

    @property
    def total_phases(self) -> int:
        """The number of phases after which the run is finished."""
        raise NotImplementedError

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Run a phase, and return its row of metrics and its samples."""
        raise NotImplementedError

    def describe_phase(self, row: Row) -> str:
        """Return what the progress bar says of a phase."""
        raise NotImplementedError

    def write_inputs(self, path: Path) -> None:
        """Write what the run learns from into the folder of a new run; most runs write nothing."""

    # The loop.

    def train(
        self, out: str | Path | None = None, resume: bool = False, show: bool = True, watch: PhaseCallback | None = None
    ) -> RunFolder:
        """Run the remaining phases, and record each.

        Ctrl-C ends the run, and `resume` continues at its newest checkpoint.

        Args:
            out: The run's folder; by default a new one in `runs/`.
            resume: Continue the run in `out`.
            show: Print a progress bar.
            watch: A function that is called after each phase, with the phase's row of metrics and its samples.

        Raises:
            CourseError: `out` is in use, it holds no run to resume, or the loss is not finite.
        """
        if out is None:
            out = claim_folder(Path("runs"), f"{self.kind}-{time.strftime('%Y%m%d-%H%M%S')}")
        path = Path(out)
        with ExitStack() as stack:
            folder = stack.enter_context(self._resumed(path) if resume else self._new(path))
            display = stack.enter_context(Display(show, self.total_phases, self.phase))
            while self.phase < self.total_phases and not self._stop_requested:
                began = time.perf_counter()
                row, samples = self.run_phase()
                row["seconds"] = time.perf_counter() - began
                folder.add_phase(row, samples)
                self.phase += 1
                display.advance(self.phase, self.describe_phase(row))
                if watch is not None:
                    watch(dict(row), samples)
                if self.phase % self.checkpoint_interval == 0:
                    self._save(folder)
            self._save(folder)
            display.show_message(f"{self.phase} of {self.total_phases} {self.phase_name} done; the run is in {path}")
        return folder

    def stop(self) -> None:
        """End `train` after the current phase. Any thread may call this."""
        self._stop_requested = True

    # The record.

    def _config(self, path: Path) -> dict[str, Any]:
        # The part whose code the run calls: a bundle of one part holds no other.
        part = PARTS_BY_NAME[BY_NAME[self.exercises[0]].part] if self.exercises else DEFAULT_PART
        return {
            "kind": self.kind,
            "args": asdict(self.args),
            "run_name": path.name,
            "wandb_id": uuid.uuid4().hex[:12],
            **locations(path, code_in_use(part), Path.cwd()),
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
            folder.draw(*self.plotted)

    @contextmanager
    def _new(self, path: Path) -> Iterator[RunFolder]:
        with new_folder(path):
            folder = RunFolder.create(path, self._config(path))
            self.write_inputs(path)
            folder.save_checkpoint(self.phase, self._state())
            yield folder

    @contextmanager
    def _resumed(self, path: Path) -> Iterator[RunFolder]:
        if load_config(path)["args"] != asdict(self.args):
            raise CourseError(f"{path} is a run with other settings: resume it with its own")
        with locked(path):
            state = load_checkpoint(path)
            folder = RunFolder.reopen(path, state["phase"], self.samples_a_phase)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            restore_random_state(state)
            self.phase = state["phase"]
            folder.truncate(self.phase)
            yield folder
