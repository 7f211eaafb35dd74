"""Where a run stands, in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_course.widgets.numbers.curves import Spread, time_left


def standing(status: str, done: int, total: int, path: Path, error: BaseException | None = None) -> str:
    """What the run is doing, or how it ended.

    Args:
        status: as `Training` has it; "read" for a run that is shown from its folder.
        done, total: phases.
        path: the run's folder.
        error: what ended the run, where it failed.
    """
    phases = f"{done} of {total} phases"
    resume = f"`rlhf-course train --resume {path}` goes on with it" if done < total else ""
    return {
        "training": f"Training: {phases} done.",
        "paused": f"Paused: {phases} done. Resume goes on; Stop ends the run and keeps it.",
        "stopping": f"Stopping after the phase it is in: {phases} done.",
        "stopped": f"Stopped: {phases} done. The run is kept in {path}; {resume}.",
        "finished": f"Finished: {phases} done. The run is in {path}.",
        "failed": f"Failed: {phases} done. {type(error).__name__}: {error}",
        "read": f"Read from {path}: {phases} done" + (f"; {resume}." if resume else "."),
    }[status]


def latest(rows: Sequence[Mapping[str, Any]], spreads: Sequence[Spread]) -> str:
    """The newest phase's numbers."""
    if not rows:
        return "No phase has ended yet."
    row = rows[-1]
    around = (
        f" (four texts in five: {spreads[-1].low:.3g} to {spreads[-1].high:.3g})" if len(spreads) == len(rows) else ""
    )
    return (
        f"Phase {row['phase']}: reward {row['mean_reward']:.3f}{around}, KL {row['kl']:.4f}, value loss {row['value_loss']:.4f}, "
        f"entropy {row['entropy']:.3f}, clip fraction {row['clipfrac']:.3f}, learning rate {row['lr']:.2g}."
    )


def pace(rows: Sequence[Mapping[str, Any]], total: int) -> str:
    """How long a phase takes, and how long the rest will."""
    if not rows or len(rows) >= total:
        return ""
    seconds = time_left(rows, total)
    left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{float(rows[-1]['seconds']):.1f} s a phase, about {left} left."
