"""Describe the status and the latest metrics of a run in words."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_course.widgets.numbers.curves import (
    EXPERT_PANELS,
    GROUP_PANELS,
    PAIR_PANELS,
    SFT_PANELS,
    Spread,
    panels_of,
    time_left,
)


def describe_status(status: str, done: int, total: int, path: Path, error: BaseException | None = None) -> str:
    """Describe what the run is doing, or how it ended.

    Args:
        status: The status of a `TrainingThread`, or "read" for a run that was read from its folder.
        done: The number of finished phases.
        total: The number of all phases.
        path: The run's folder.
        error: The exception that ended a failed run, else None.
    """
    phases = f"{done} of {total} phases"
    # A shell may be open in another folder than the notebook, and the folder's name may hold spaces.
    folder = str(path.resolve())
    folder = f'"{folder}"' if " " in folder else folder
    resume = f"`rlhf-course train --resume {folder}` continues it" if done < total else ""
    return {
        "training": f"Training: {phases} done.",
        "paused": f"Paused: {phases} done. Resume continues; Stop ends the run and keeps it.",
        "stopping": f"Stopping after the current phase: {phases} done.",
        "stopped": f"Stopped: {phases} done. The run is kept in {path}; {resume}.",
        "finished": f"Finished: {phases} done. The run is in {path}.",
        "failed": f"Failed: {phases} done. {type(error).__name__}: {error}",
        "read": f"Read from {path}: {phases} done" + (f"; {resume}." if resume else "."),
    }[status]


def describe_latest_phase(rows: Sequence[Mapping[str, Any]], spreads: Sequence[Spread]) -> str:
    """Describe the metrics of the latest phase."""
    if not rows:
        return "No phase has ended yet."
    row = rows[-1]
    titles = panels_of(rows)
    if titles is SFT_PANELS:
        return f"Step {row['phase']}: loss {row['loss']:.4f}{_held_out(rows)}, learning rate {row['lr']:.2g}."
    if titles in (GROUP_PANELS, EXPERT_PANELS):
        kept = f"{row['kept']:.0f} kept" if titles is EXPERT_PANELS else f"mixed groups {row['mixed_groups']:.0%}"
        return (
            f"Phase {row['phase']}: reward {row['mean_reward']:.3f}, right {row['accuracy']:.0%}{_held_out(rows)}, "
            f"{kept}, entropy {row['entropy']:.3f}, {row['mean_length']:.1f} tokens a completion."
        )
    if titles is PAIR_PANELS:
        measured = f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}"
        return f"Step {row['phase']}: {measured}, learning rate {row['lr']:.2g}."
    spread = (
        f" (four texts in five: {spreads[-1].low:.3g} to {spreads[-1].high:.3g})" if len(spreads) == len(rows) else ""
    )
    gold = f"gold {row['gold']:.3f}, " if "gold" in row else ""
    return (
        f"Phase {row['phase']}: reward {row['mean_reward']:.3f}{spread}, {gold}KL {row['kl']:.4f}, "
        f"value loss {row['value_loss']:.4f}, "
        f"entropy {row['entropy']:.3f}, clip fraction {row['clipfrac']:.3f}, learning rate {row['lr']:.2g}."
    )


def _held_out(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the latest accuracy on held-out prompts with its phase; nothing where none is measured yet."""
    for row in reversed(rows):
        accuracy = row.get("held_out_accuracy")
        if isinstance(accuracy, int | float) and not math.isnan(accuracy):
            return f", held out {accuracy:.0%} (phase {row['phase']})"
    return ""


def describe_pace(rows: Sequence[Mapping[str, Any]], total: int) -> str:
    """Describe how long a phase takes, and how long the remaining phases will take."""
    if not rows or len(rows) >= total:
        return ""
    seconds = time_left(rows, total)
    left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{float(rows[-1]['seconds']):.1f} s a phase, about {left} left."
