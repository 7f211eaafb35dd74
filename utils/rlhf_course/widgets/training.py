"""A run in a thread of its own, so that whoever watches it can pause, resume and stop it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch is there when a trainer is
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


class Training:
    """One run, trained in a thread.

    Args:
        trainer: a trainer that has not trained yet.
        path: the run's folder.
        watch: called after each phase, in that thread, with the phase's row of metrics and its samples.
        ended: called in that thread when the run has ended.

    Attributes:
        status: training, paused, stopping (after the phase it is in), or how it ended: stopped, finished, failed.
        folder: the run's folder, once it has ended.
        error: what ended it, where it failed.
    """

    def __init__(self, trainer: Any, path: Path, watch: Callable[..., None], ended: Callable[[], None]) -> None:
        self.trainer = trainer
        self.path = path
        self.status = TRAINING
        self.folder: RunFolder | None = None
        self.error: BaseException | None = None
        self._watch, self._ended = watch, ended
        self._thread = threading.Thread(target=self._train, name="training", daemon=True)

    def start(self) -> "Training":
        """Begin."""
        self._thread.start()
        return self

    def pause(self) -> None:
        """Hold the run after the optimizer step it is in."""
        if self.status == TRAINING:
            self.status = PAUSED
            self.trainer.pause()

    def unpause(self) -> None:
        """Let the run go on."""
        if self.status == PAUSED:
            self.status = TRAINING
            self.trainer.unpause()

    def stop(self) -> None:
        """End the run after the phase it is in; what it has learnt is kept."""
        if self.status not in _ENDED:
            self.status = STOPPING
            self.trainer.stop()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED and not self._thread.is_alive()

    async def finished(self) -> None:
        """Wait for the end, while the kernel goes on answering; interrupting the kernel stops the run."""
        try:
            while not self.has_ended:
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            self.stop()
            self._thread.join()

    def _train(self) -> None:
        try:
            self.folder = self.trainer.train(self.path, show=False, watch=self._after_phase)
        except BaseException as error:  # the thread has nobody else to tell
            self.error = error
            self.status = FAILED
        else:
            whole = self.trainer.phase == self.trainer.args.total_phases
            self.status = FINISHED if whole else STOPPED
        self._ended()

    def _after_phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        if self.status == STOPPING:  # asked for before the run had begun
            self.trainer.stop()
        self._watch(row, samples)
