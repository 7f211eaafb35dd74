"""Train a run in a thread that can be paused, resumed and stopped."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it imports torch, which this module does not need
    from rlhf_course.rl.run_folder import RunFolder

TRAINING, PAUSED, STOPPING, STOPPED, FINISHED, FAILED = (
    "training",
    "paused",
    "stopping",
    "stopped",
    "finished",
    "failed",
)
_ENDED = (STOPPED, FINISHED, FAILED)


class TrainingThread:
    """A run that is trained in a thread.

    Args:
        trainer: A trainer that has not trained yet.
        path: The run's folder.
        on_phase: A function that is called in the thread after each phase, with its row of metrics and its samples.
        on_end: A function that is called in the thread when the run has ended.

    Attributes:
        status: "training", "paused", "stopping" (after the current phase), "stopped", "finished" or "failed".
        folder: The run's folder once the run has ended, else None.
        error: The exception of a failed run, else None.
    """

    def __init__(self, trainer: Any, path: Path, on_phase: Callable[..., None], on_end: Callable[[], None]) -> None:
        self.trainer = trainer
        self.path = path
        self.status = TRAINING
        self.folder: RunFolder | None = None
        self.error: BaseException | None = None
        self._on_phase, self._on_end = on_phase, on_end
        self._thread = threading.Thread(target=self._train, name="training", daemon=True)

    def start(self) -> "TrainingThread":
        """Start the thread."""
        self._thread.start()
        return self

    def pause(self) -> None:
        """Pause the run after the current optimizer step."""
        if self.status == TRAINING:
            self.status = PAUSED
            self.trainer.pause()

    def resume(self) -> None:
        """Resume a paused run."""
        if self.status == PAUSED:
            self.status = TRAINING
            self.trainer.unpause()

    def stop(self) -> None:
        """Stop the run after the current phase; its phases and checkpoints are kept."""
        if self.status not in _ENDED:
            self.status = STOPPING
            self.trainer.stop()

    @property
    def has_ended(self) -> bool:
        """Whether the run and its thread have ended."""
        return self.status in _ENDED and not self._thread.is_alive()

    async def wait(self) -> None:
        """Wait for the end without blocking the kernel; interrupting the kernel stops the run."""
        try:
            while not self.has_ended:
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            self.stop()
            self._thread.join()

    def _train(self) -> None:
        try:
            self.folder = self.trainer.train(self.path, show=False, watch=self._after_phase)
        except BaseException as error:  # `Dashboard.finished` raises it in the main thread
            self.error = error
            self.status = FAILED
        else:
            is_complete = self.trainer.phase == self.trainer.args.total_phases
            self.status = FINISHED if is_complete else STOPPED
        self._on_end()

    def _after_phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        if self.status == STOPPING:  # `stop` was called before the run began, when the trainer ignores it
            self.trainer.stop()
        self._on_phase(row, samples)
